"""Experimental crosses as hidden Markov chains of founder alleles, on NumPy arrays."""
