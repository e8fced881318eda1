"""Maxima of permuted and of random residuals."""
