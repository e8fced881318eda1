"""Clusters of every kind, run for real: one command and one cell that end with the same numbers."""
