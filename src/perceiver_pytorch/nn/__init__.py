"""The parts every model is assembled from."""

from typing import TYPE_CHECKING

from perceiver_pytorch._lazy import lazily

if TYPE_CHECKING:
    from perceiver_pytorch.nn.attention import Attention
    from perceiver_pytorch.nn.block import AttentionBlock
    from perceiver_pytorch.nn.cross_attend import CrossAttend
    from perceiver_pytorch.nn.feed_forward import GEGLU, FeedForward, FeedForwardGELU
    from perceiver_pytorch.nn.fourier import fourier_encode, position_table
    from perceiver_pytorch.nn.layer import LatentBlock, LatentTransformer, PerceiverLayer, SingleBlockLayer
    from perceiver_pytorch.nn.query_arrays import random_indices, take
    from perceiver_pytorch.nn.residual import PreNorm

__all__ = [
    "GEGLU",
    "Attention",
    "AttentionBlock",
    "CrossAttend",
    "FeedForward",
    "FeedForwardGELU",
    "LatentBlock",
    "LatentTransformer",
    "PerceiverLayer",
    "PreNorm",
    "SingleBlockLayer",
    "fourier_encode",
    "position_table",
    "random_indices",
    "take",
]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "attention": "Attention",
        "block": "AttentionBlock",
        "cross_attend": "CrossAttend",
        "feed_forward": "FeedForward FeedForwardGELU GEGLU",
        "fourier": "fourier_encode position_table",
        "layer": "LatentBlock LatentTransformer PerceiverLayer SingleBlockLayer",
        "query_arrays": "random_indices take",
        "residual": "PreNorm",
    },
)
