"""What a model looked at, and what its inputs are worth to it."""
