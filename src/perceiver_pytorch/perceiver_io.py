"""The path of `PerceiverIO`; see `perceiver_pytorch.models.perceiver_io`."""

from perceiver_pytorch.models.perceiver_io import PerceiverIO

__all__ = ["PerceiverIO"]
