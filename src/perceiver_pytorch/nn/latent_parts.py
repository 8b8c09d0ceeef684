"""Parts of a layer whose weights may be read instead of calling them, so that one loop computes all of them.

Whatever somebody has put around or in place of a module has to be called: hooks, adapters, shards, other classes.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from perceiver_pytorch.nn.attention import Attention
from perceiver_pytorch.nn.feed_forward import GEGLU, FeedForward, FeedForwardGELU, WidenedNet
from perceiver_pytorch.nn.linear import Linear
from perceiver_pytorch.nn.plain import is_as_made
from perceiver_pytorch.nn.randomness import Dropout
from perceiver_pytorch.nn.residual import PreNorm
from perceiver_pytorch.ops import latents
from perceiver_pytorch.ops.latent_steps import Kind, LatentPart


def through(
    x: Float[Tensor, "batch latents dim"], parts: Iterable[nn.Module], *, keep: int | None = None
) -> Float[Tensor, "batch latents dim"] | None:
    """``x = part(x) + x`` for each part, see `ops.latents.through`; None where they have to be called."""
    if not latents.may_take(x):
        return None
    read = []
    for part in parts:
        known = _read(part)
        if known is None:
            return None
        read.append(known)
    return latents.through(x, read, keep=keep)


def _read(part: nn.Module) -> LatentPart | None:
    """What a part computes, if it is one of this package's, as it was made, and leaves nothing to chance."""
    if not is_as_made(part, PreNorm) or part.norm_context is not None:
        return None
    inner, norm = part.children()
    if type(inner) not in _READ or not is_as_made(inner, type(inner)) or not is_as_made(norm, nn.LayerNorm):
        return None
    return _READ[type(inner)](norm, inner)


def _attention(norm: Any, attention: Any) -> LatentPart | None:
    parts = _children(attention, Linear, Linear, nn.Sequential)
    ends = parts and _children(parts[2], Linear, Dropout)
    if not parts or not ends:
        return None
    (queries, both, _), (last, dropout) = parts, ends
    if not _is_off(dropout) or queries.bias is not None or both.bias is not None:
        return None
    width = last.in_features // attention.heads
    if attention.scale != width**-0.5:
        return None
    weights = *_weights(queries), *_weights(last), both.weight
    return LatentPart("attention", *_weights(norm), norm.eps, *weights, attention.heads)


def _feed_forward(kind: Kind, activation: type[nn.Module], norm: Any, feed_forward: Any) -> LatentPart | None:
    net = _children(feed_forward, WidenedNet)
    parts = net and _children(net[0], Linear, activation, Dropout, Linear)
    if not parts or not _is_off(parts[2]) or getattr(parts[1], "approximate", "none") != "none":
        return None
    return LatentPart(kind, *_weights(norm), norm.eps, *_weights(parts[0]), *_weights(parts[3]))


_READ: dict[type[nn.Module], Callable[[Any, Any], LatentPart | None]] = {
    Attention: _attention,
    FeedForward: partial(_feed_forward, "geglu", GEGLU),
    FeedForwardGELU: partial(_feed_forward, "gelu", nn.GELU),
}


def _children(module: nn.Module, *kinds: type[nn.Module]) -> list[Any] | None:
    """The children, if they are of these classes, as they were made."""
    children: list[Any] = list(module._modules.values())
    return children if len(children) == len(kinds) and all(map(is_as_made, children, kinds)) else None


def _weights(module: nn.Module) -> tuple[Any, Any]:
    """Weight and bias, looked up where they are kept, which is quicker."""
    return module._parameters.get("weight"), module._parameters.get("bias")


def _is_off(dropout: Any) -> bool:
    return not dropout.training or dropout.p == 0.0
