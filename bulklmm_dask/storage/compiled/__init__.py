"""A loop in C that summarises a block of LODs in one pass, where it was built."""
