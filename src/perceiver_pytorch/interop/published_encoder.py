"""The published models' encoder: one cross-attend, and self-attention blocks that may be run through several times."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from perceiver_pytorch.interop.published_config import PublishedConfig
from perceiver_pytorch.nn.block import AttentionBlock
from perceiver_pytorch.nn.encoder import encode, io_steps
from perceiver_pytorch.ops import Context


class PublishedEncoder(nn.Module):
    """Contexts to latents ``(batch, num_latents, d_latents)`` (Perceiver IO, arXiv 2107.14795, section 3.1).

    Args:
        config: sizes.
        context_dim: channels of the tokens.
    """

    def __init__(self, config: PublishedConfig, context_dim: int) -> None:
        super().__init__()
        self.num_blocks = config.num_blocks
        self.latents = nn.Parameter(torch.randn(config.num_latents, config.d_latents) * 0.02)
        self.cross_attend = cross_block(
            config,
            config.d_latents,
            context_dim,
            heads=config.num_cross_attention_heads,
            qk_dim=config.qk_channels,
            v_dim=config.v_channels,
            query_residual=config.use_query_residual,
            widening_factor=config.cross_attention_widening_factor,
        )
        self.layers = nn.ModuleList(
            AttentionBlock(
                config.d_latents,
                heads=config.num_self_attention_heads,
                qk_dim=config.qk_channels,
                v_dim=config.v_channels,
                output_dim=config.d_latents,
                widening_factor=config.self_attention_widening_factor,
            )
            for _ in range(config.num_self_attends_per_block)
        )

    def forward(self, contexts: Sequence[Context]) -> Tensor:
        steps = io_steps(self.cross_attend, contexts, self.layers, repeats=self.num_blocks)
        return encode(self.latents.expand(contexts[0].data.shape[0], -1, -1), steps)


def cross_block(
    config: PublishedConfig,
    query_dim: int,
    context_dim: int,
    *,
    heads: int = 1,
    qk_dim: int | None = None,
    v_dim: int | None = None,
    query_residual: bool = False,
    widening_factor: int = 1,
) -> AttentionBlock:
    """A cross-attend or decoder; keys are as wide as the tokens or the queries where no width is given."""
    if qk_dim is None:
        qk_dim = context_dim if config.cross_attention_shape_for_attention == "kv" else query_dim
    return AttentionBlock(
        query_dim,
        context_dim,
        heads=heads,
        qk_dim=qk_dim,
        v_dim=v_dim,
        output_dim=query_dim,
        query_residual=query_residual,
        widening_factor=widening_factor,
    )
