"""Which channels of an embedding a layer sees, where an embedding is split over the layers."""

from functools import lru_cache

from perceiver_pytorch._lazy import numpy as np

RULES = ("chunks", "shared", "permuted")
"""Chunk i for layer i (release 1.4.0); one chunk for all layers beside a chunk of its own for each; chunks of a random
but fixed order of the channels, which tells whether it matters that a chunk's channels stand together."""

_SEED = 14


def num_chunks(rule: str, depth: int) -> int:
    """Chunks of equal width that an embedding is cut into."""
    return depth + (rule == "shared")


def channels_in_layer(rule: str, width: int, depth: int) -> int:
    """Channels that a layer sees of ``width``."""
    return width // num_chunks(rule, depth) * (2 if rule == "shared" else 1)


def width_for(rule: str, channels: int, depth: int) -> int:
    """Width of an embedding of which each layer sees ``channels``, an odd number of a shared chunk rounded up."""
    return channels * depth if rule != "shared" else -(-channels // 2) * num_chunks(rule, depth)


def seen_channels(rule: str, width: int, depth: int, layer: int) -> slice | list[int]:
    """The channels that layer number ``layer`` sees, to index with."""
    size = width // num_chunks(rule, depth)
    if rule == "chunks":
        return slice(layer * size, (layer + 1) * size)
    if rule == "shared":
        return [*range(size), *range((layer + 1) * size, (layer + 2) * size)]
    return _order(width)[layer * size : (layer + 1) * size]


@lru_cache(maxsize=32)
def _order(width: int) -> list[int]:
    """A permutation that depends on the width alone, so that saved models need not keep it.

    It is drawn by NumPy's old generator, whose numbers are the same in all versions.
    """
    return np.random.RandomState(_SEED).permutation(width).tolist()
