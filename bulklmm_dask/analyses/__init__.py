"""The front doors: each validates, plans and runs one analysis."""
