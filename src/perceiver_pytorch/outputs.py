"""The path of `Output`; see `perceiver_pytorch.models.outputs`."""

from perceiver_pytorch.models.outputs import Output, output_from_config

__all__ = ["Output", "output_from_config"]
