"""Execution of blocks on Dask; no other part of the package imports Dask."""
