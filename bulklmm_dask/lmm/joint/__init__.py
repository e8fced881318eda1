"""Several columns of a marker tested together."""
