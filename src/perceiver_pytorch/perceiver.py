"""The path of `Perceiver`; see `perceiver_pytorch.models.perceiver`."""

from perceiver_pytorch.models.perceiver import Perceiver

__all__ = ["Perceiver"]
