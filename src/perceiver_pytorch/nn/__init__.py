"""The parts every model is assembled from."""

from perceiver_pytorch.nn.attention import Attention
from perceiver_pytorch.nn.block import AttentionBlock
from perceiver_pytorch.nn.cross_attend import CrossAttend
from perceiver_pytorch.nn.feed_forward import GEGLU, FeedForward, FeedForwardGELU
from perceiver_pytorch.nn.fourier import fourier_encode, position_table
from perceiver_pytorch.nn.layer import LatentBlock, LatentTransformer, PerceiverLayer, SingleBlockLayer
from perceiver_pytorch.nn.queries import random_indices, take
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
