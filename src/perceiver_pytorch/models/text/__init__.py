"""Models of text alone."""
