"""Arguments that analyses share, turned from what a user passes into checked arrays."""
