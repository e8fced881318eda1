"""Studies: their schema, how they are made from arrays and files, and their Zarr stores."""
