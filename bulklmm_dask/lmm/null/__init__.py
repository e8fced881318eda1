"""One h2 a trait: the null methods."""
