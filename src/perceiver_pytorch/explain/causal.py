"""The weights of causal attention: which earlier tokens each latent of a `PerceiverAR` looked at."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from perceiver_pytorch.nn.causal import CausalAttention, Places
from perceiver_pytorch.nn.rotary import rotate
from perceiver_pytorch.ops.weights import MOST_AT_ONCE


@dataclass(frozen=True, eq=False)
class CausalWeights:
    """How much each latent attends to each token up to its own; what `AttentionWeights` is to a structured context.

    Attributes:
        query: ``(batch, heads, latents, dim_head)``, turned, times ``dim_head ** -0.5``.
        key: ``(batch, heads, tokens, dim_head)``, turned.
        mask: which key each query may see.
    """

    query: Tensor
    key: Tensor
    mask: Bool[Tensor, "one_or_batch 1 latents tokens"]

    def of(
        self, latents: Sequence[int] | slice = slice(None), heads: Sequence[int] | slice = slice(None)
    ) -> list[Float[Tensor, "batch heads latents tokens"]]:
        """The weights of some latents and heads; tokens that come later have none."""
        scores = self.query[:, heads][:, :, latents] @ self.key[:, heads].mT
        return [scores.masked_fill(~self.mask[:, :, latents], float("-inf")).softmax(-1)]

    def summed(
        self, factors: Float[Tensor, "batch outputs heads latents"]
    ) -> list[Float[Tensor, "batch outputs tokens"]]:
        """Sums of the weights over heads and latents, for each row of ``factors``."""
        total = factors.new_zeros(*factors.shape[:2], self.key.shape[2])
        for latents in self._some():
            (weights,) = self.of(latents)
            total += torch.einsum("bohn,bhnt->bot", factors[..., latents].to(weights.dtype), weights)
        return [total]

    def _some(self) -> Iterator[slice]:
        """Latents whose weights are held together."""
        each = max(1, MOST_AT_ONCE // max(1, self.query.shape[:2].numel() * self.key.shape[2]))
        for start in range(0, self.query.shape[2], each):
            yield slice(start, start + each)


def causal_weights(module: CausalAttention, x: Tensor, context: Tensor, places: Places, cache: Any) -> CausalWeights:
    """The weights of a call of ``module``.

    Raises:
        ValueError: if the call does not see all of its tokens: in training, some are left out; with a cache, it holds
            the earlier ones.
    """
    if module.training:
        raise ValueError("attention is recorded of a model in evaluation mode: call model.eval() before")
    if cache is not None:
        raise ValueError(
            "attention is not recorded with a cache, which holds the earlier tokens: read them in one call"
        )
    query = rotate(module.to_q(x).unflatten(-1, (module.heads, -1)).transpose(1, 2), places.queries)
    key = module.to_kv(context).unflatten(-1, (2, module.heads, -1)).transpose(1, 3).unbind(2)[0]
    mask = places.mask
    if mask is None:
        own = torch.arange(context.shape[1] - x.shape[1], context.shape[1], device=x.device).unsqueeze(1)
        mask = (torch.arange(context.shape[1], device=x.device) <= own)[None, None]
    return CausalWeights(query * query.shape[-1] ** -0.5, rotate(key, places.keys), mask)
