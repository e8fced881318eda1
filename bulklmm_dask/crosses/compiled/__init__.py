"""A loop in C that does in one pass what NumPy does in steps, where it was built (`posteriors`)."""
