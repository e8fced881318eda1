"""What people ask of a finished or lazy scan."""
