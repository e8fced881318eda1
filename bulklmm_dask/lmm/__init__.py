"""The statistics: NumPy and SciPy only, no dask, xarray or zarr."""
