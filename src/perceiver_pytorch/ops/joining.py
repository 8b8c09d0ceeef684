"""Attention over disjoint sets of tokens, joined by their log-sum-exp: the softmax over all of them together."""

from collections.abc import Sequence

import torch
from torch import Tensor

Part = tuple[Tensor, Tensor]
"""Weighted means ``(…, rows, channels)`` and log-sum-exps of the scores ``(…, rows)``, -inf where there is no token."""


def join(parts: Sequence[Part]) -> Part:
    """Joins what rows got from several sets of tokens."""
    if len(parts) == 1:
        return parts[0]
    lses = torch.stack([lse for _, lse in parts])
    peak = lses.detach().amax(dim=0)
    shares = shares_of(lses, peak)
    total = shares.sum(dim=0).clamp_min(torch.finfo(lses.dtype).tiny)
    joined = sum(share.unsqueeze(-1) * part for share, (part, _) in zip(shares / total, parts, strict=True))
    assert isinstance(joined, Tensor)
    return joined, lse_of(total, peak)


def shares_of(lse: Tensor, peak: Tensor) -> Tensor:
    """``exp(lse - peak)``; 0 where there is no token at all, and the peak is -inf too."""
    return (lse - peak.masked_fill(peak == float("-inf"), 0.0)).exp()


def lse_of(total: Tensor, peak: Tensor) -> Tensor:
    """The log-sum-exp whose `shares_of` sum up to ``total``."""
    empty = peak == float("-inf")
    return (peak.masked_fill(empty, 0.0) + total.log()).masked_fill(empty, float("-inf"))
