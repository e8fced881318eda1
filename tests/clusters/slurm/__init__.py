"""SLURM for real: two virtual nodes on this machine."""
