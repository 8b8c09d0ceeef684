"""The decoder: query arrays read the latents, in chunks where there are many (Perceiver IO, section 3.2)."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from perceiver_pytorch import _checks
from perceiver_pytorch._execution import execution
from perceiver_pytorch.nn.block import AttentionBlock
from perceiver_pytorch.nn.module_dict import NamedModules
from perceiver_pytorch.ops import split


class QueryDecoder(nn.Module):
    """One cross-attend from queries onto latents, and for each output a projection to its channels.

    Queries do not see one another, so they may be decoded, and even made, in any number of chunks.

    Args:
        block: an `AttentionBlock` with the latents as its context.
        block_dim: channels of the block's output.
        channels: per output the channels of the result; None: what the block gives.
        chunk_size: queries at a time where no gradient is asked for; None: all.
    """

    def __init__(
        self, block: AttentionBlock, block_dim: int, channels: Mapping[str, int | None], chunk_size: int | None = 8192
    ) -> None:
        super().__init__()
        self.block = block
        self.heads = NamedModules()
        for name, size in channels.items():
            self.heads[name] = nn.Identity() if size is None else nn.Linear(block_dim, size)
        self.chunk_size = None if chunk_size is None else _checks.positive_int("query_chunk_size", chunk_size)

    def forward(
        self,
        output: str,
        build: Callable[[int, int], Tensor],
        num_queries: int,
        latents: Float[Tensor, "batch latents latent_dim"],
        *,
        recompute: bool = False,
    ) -> Float[Tensor, "batch queries channels"]:
        """What the latents answer.

        Args:
            output: name of the output.
            build: makes the queries from start to stop, ``(batch or 1, stop - start, query_dim)``.
            num_queries: how many there are.
            latents: ``(batch, latents, latent_dim)``.
            recompute: decode in chunks in training too, and keep nothing of them for the backward pass.
        """

        def decode(start: int, stop: int) -> Tensor:
            return self.heads[output](split.whole(self.block, build(start, stop), latents))

        return in_chunks(decode, num_queries, self.chunk_size, recompute=recompute)


def in_chunks(
    decode: Callable[[int, int], Tensor], num_queries: int, chunk_size: int | None, *, recompute: bool = False
) -> Tensor:
    """``decode(start, stop)`` (batch, stop - start, channels) for all queries, (batch, num_queries, channels).

    Without gradients no more than one chunk's intermediate results are held at a time; with gradients neither, if
    ``recompute`` (the backward pass then decodes every chunk once more), else all are. In a compiled or exported graph,
    and in a transformation of `torch.func`, everything is decoded at once.

    Args:
        decode: decodes the queries from start to stop.
        num_queries: how many there are.
        chunk_size: how many to decode at a time; None: all.
        recompute: whether to keep nothing for the backward pass.
    """
    kept = torch.is_grad_enabled()
    size = num_queries if chunk_size is None else chunk_size
    followed = torch.compiler.is_compiling() or execution() in ("export", "transform")
    if followed or (kept and not recompute):
        return decode(0, num_queries)
    bounds = [(start, min(start + size, num_queries)) for start in range(0, num_queries, max(size, 1))] or [(0, 0)]
    if kept:
        return torch.cat([checkpoint(decode, *bound, use_reentrant=False) for bound in bounds], 1)
    first = decode(*bounds[0])
    if len(bounds) == 1:
        return first
    result = first.new_empty(first.shape[0], num_queries, *first.shape[2:])
    result[:, : first.shape[1]] = first
    for start, stop in bounds[1:]:
        result[:, start:stop] = decode(start, stop)
    return result
