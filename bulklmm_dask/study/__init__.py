"""What comes in and how it is kept: xarray and Zarr."""
