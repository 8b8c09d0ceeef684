"""Checkpoints of other libraries: transformers' Perceiver, release 1.4.0 and perceiver-pytorch 0.11.0."""
