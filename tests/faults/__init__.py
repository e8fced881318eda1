"""Faults of real processes, networks and disks; `python -m faults.soak` makes them at random."""
