"""Loops in C that do in one pass what NumPy does in several, where they were built (`loops`)."""
