"""Codecs of Zarr arrays: what is run, how it is bounded, and how stores are compressed."""
