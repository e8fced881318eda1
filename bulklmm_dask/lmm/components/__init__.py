"""Several random effects, each with a kernel of its own: shares of the variance of every trait."""
