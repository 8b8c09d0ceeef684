"""The path of `Style`; see `perceiver_pytorch.models.style`."""

from perceiver_pytorch.models.style import Style

__all__ = ["Style"]
