"""Statistics of the linear mixed model, on NumPy and SciPy alone (no dask, xarray or zarr)."""
