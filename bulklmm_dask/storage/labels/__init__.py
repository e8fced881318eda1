"""Datasets in memory: variables, coordinates and attributes; what they say on one screen."""
