"""Blocks on Dask: the only place of the package that imports it."""
