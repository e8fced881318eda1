"""The public analyses; each validates its arguments, plans the work and runs it."""
