"""Delimited text: how it is written, its records, and the tables made of them."""
