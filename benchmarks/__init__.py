"""Compares this package with its peers: ``python -m benchmarks.compare`` (see README.md here)."""
