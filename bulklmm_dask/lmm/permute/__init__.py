"""Highest LOD scores of permuted and of simulated traits without loci."""
