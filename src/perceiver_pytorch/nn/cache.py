"""Layers built through caching functions, as release 1.4.0 and code written for it do.

Our own models share weights by the lists of `perceiver_pytorch.nn.sharing`; this stays for code that subclasses 1.4.0's
models and builds layers of its own with its functions.
"""

from collections.abc import Callable, MutableSequence
from functools import wraps
from typing import Any, TypeVar

from torch import nn

from perceiver_pytorch.nn.layer import LatentBlock, LatentTransformer, PerceiverLayer

T = TypeVar("T")


def cache_by_name_fn(f: Callable[..., T]) -> Callable[..., T]:
    """``f`` with a keyword ``name``: called again with the same name it returns its first result for that name.

    With ``_cache=False`` it is called anew, and its result is not kept.
    """
    kept: dict[str, T] = {}

    @wraps(f)
    def cached(*args: Any, name: str, _cache: bool = True, **kwargs: Any) -> T:
        if not _cache:
            return f(*args, **kwargs)
        if name not in kept:
            kept[name] = f(*args, **kwargs)
        return kept[name]

    return cached


def cache_fn(f: Callable[..., T]) -> Callable[..., T]:
    """``f``, which called again returns its first result; with ``_cache=False`` it is called anew, nothing is kept."""
    by_name = cache_by_name_fn(f)

    @wraps(f)
    def cached(*args: Any, _cache: bool = True, **kwargs: Any) -> T:
        return by_name(*args, name="", _cache=_cache, **kwargs)

    return cached


class CachedLatentTransformer(LatentTransformer):
    """A latent transformer whose parts come from caching functions; with tying, blocks after the first are cached.

    Args:
        get_latent_attn, get_latent_ff: called with ``_cache`` and ``name``, give the parts of a block.
        num_latent_blocks_per_layer: number of blocks.
        weight_tie_layers: whether to cache.
    """

    def __init__(
        self,
        get_latent_attn: Callable[..., nn.Module],
        get_latent_ff: Callable[..., nn.Module],
        num_latent_blocks_per_layer: int,
        weight_tie_layers: bool,
    ) -> None:
        blocks = []
        for j in range(num_latent_blocks_per_layer):
            keep = j > 0 and weight_tie_layers
            attention = get_latent_attn(_cache=keep, name=f"latent_attn_{j}")
            blocks.append(LatentBlock(attention, get_latent_ff(_cache=keep, name=f"latent_ff_{j}")))
        super().__init__(blocks)


def build_perceiver_layers(
    layers: MutableSequence[nn.Module] | nn.ModuleList,
    depth: int,
    get_cross_attn: Callable[..., nn.Module],
    get_cross_ff: Callable[..., nn.Module],
    get_latent_attn: Callable[..., nn.Module],
    get_latent_ff: Callable[..., nn.Module],
    weight_tie_layers: bool,
    num_latent_blocks_per_layer: int = 1,
) -> None:
    """Appends ``depth`` layers ``[cross-attend, feed-forward, latent transformer]`` to ``layers``.

    Args:
        layers: list that is appended to.
        get_cross_attn, get_cross_ff, get_latent_attn, get_latent_ff: functions wrapped by `cache_by_name_fn` that make
            the parts.
        weight_tie_layers: share cross-attends after the first, and latent blocks after each first.
        num_latent_blocks_per_layer: blocks per latent transformer.
    """
    for i in range(depth):
        keep = i > 0 and weight_tie_layers
        layers.append(
            PerceiverLayer(
                get_cross_attn(_cache=keep, name="cross_attn"),
                get_cross_ff(_cache=keep, name="cross_ff"),
                CachedLatentTransformer(get_latent_attn, get_latent_ff, num_latent_blocks_per_layer, weight_tie_layers),
            )
        )
