"""The arguments that analyses share, each from what a user handed over to a checked array."""
