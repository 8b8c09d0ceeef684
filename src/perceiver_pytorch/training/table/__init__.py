"""Training on a table."""
