"""Choosing the next token from its logits."""

import math

import torch
from torch import Tensor

from perceiver_pytorch import _checks


def check_sampling(temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Raises ValueError or TypeError for settings that `sample` cannot use."""
    if _checks.number("temperature", temperature) < 0:
        raise ValueError(f"temperature must be at least 0 (0: always the likeliest token), got {temperature}")
    if top_k is not None:
        _checks.positive_int("top_k", top_k)
    if top_p is not None and not 0 < _checks.number("top_p", top_p) <= 1:
        raise ValueError(f"top_p must lie in (0, 1], got {top_p}")


def sample(
    logits: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """One token per row of ``logits``.

    Args:
        logits: ``(batch, vocab)``, float.
        temperature: the logits are divided by it; 0 takes the likeliest token.
        top_k: only the k likeliest tokens.
        top_p: only the likeliest tokens that together have this probability (Holtzman et al. 2020), one at least; after
            ``temperature`` and ``top_k``.
        generator: of the random numbers.

    Returns:
        ``(batch,)`` int64.
    """
    if temperature == 0:
        return logits.argmax(-1)
    # At a tiny temperature the quotient would overflow; differences to the maximum do not.
    logits = logits.double()
    logits = (logits - logits.amax(-1, keepdim=True)) / temperature
    if top_k is not None and top_k < logits.shape[-1]:
        logits = keep_top_k(logits, top_k)
    if top_p is not None and top_p < 1:
        logits = keep_top_p(logits, top_p)
    return torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(-1)


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """``logits`` with all but the k largest of each row (the first of equals) at minus infinity."""
    kept = logits.topk(k, dim=-1).indices
    return torch.full_like(logits, -math.inf).scatter(-1, kept, logits.gather(-1, kept))


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """``logits`` with all at minus infinity but the fewest likeliest of each row that have probability p together."""
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)
    shares = ordered.softmax(-1)
    before = shares.cumsum(-1) - shares  # probability of the likelier tokens; the first has 0 before it and stays
    return torch.empty_like(logits).scatter(-1, order, ordered.masked_fill(before >= p, -math.inf))
