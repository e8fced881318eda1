"""h2 again for every pair of marker and trait: the alt methods."""
