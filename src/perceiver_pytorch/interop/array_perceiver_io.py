"""`ArrayPerceiverIO` and `TokenPerceiverIO`: perceiver-pytorch 0.11.0's PerceiverIO and PerceiverLM, from our parts."""

import torch
from torch import Tensor, nn

from perceiver_pytorch import _checks
from perceiver_pytorch.models.saving import SavedModel
from perceiver_pytorch.nn.block import AttentionBlock
from perceiver_pytorch.nn.encoder import encode, io_steps
from perceiver_pytorch.nn.init import init_latents


class ArrayPerceiverIO(SavedModel, tags=["perceiver-io"]):
    """Reads an array that comes with its positions, and answers an array of queries.

    Arguments and defaults are those of perceiver-pytorch 0.11.0's ``PerceiverIO``. `PerceiverIO` is the class for new
    models: it knows modalities, and reads them without building the array.

    Args:
        depth: latent blocks.
        dim: channels of the input.
        queries_dim: channels of a query.
        logits_dim: channels of an answer; None: as many as a query has.
        num_latents, latent_dim: size of the latent array.
        cross_heads, cross_dim_head: heads of the cross-attend and the decoder, and their channels.
        latent_heads, latent_dim_head: the same of the latent blocks.
        weight_tie_layers: one latent block, applied ``depth`` times.
        decoder_ff: a feed-forward part in the decoder.
        inverted_cross_attn: let latents compete for the tokens, as slots do.
    """

    def __init__(
        self,
        *,
        depth: int,
        dim: int,
        queries_dim: int,
        logits_dim: int | None = None,
        num_latents: int = 512,
        latent_dim: int = 512,
        cross_heads: int = 1,
        latent_heads: int = 8,
        cross_dim_head: int = 64,
        latent_dim_head: int = 64,
        weight_tie_layers: bool = False,
        decoder_ff: bool = False,
        inverted_cross_attn: bool = False,
    ) -> None:
        super().__init__()
        _checks.num_blocks(_checks.positive_int("depth", depth))
        cross, latent = cross_heads * cross_dim_head, latent_heads * latent_dim_head
        self.latents = init_latents(num_latents, latent_dim, "normal")
        self.cross_attend = AttentionBlock(
            latent_dim,
            dim,
            heads=cross_heads,
            qk_dim=cross,
            bias=False,
            activation="geglu",
            inverted=inverted_cross_attn,
        )

        def block() -> AttentionBlock:
            return AttentionBlock(latent_dim, heads=latent_heads, qk_dim=latent, bias=False, activation="geglu")

        shared = block() if weight_tie_layers else None
        self.layers = nn.ModuleList(shared or block() for _ in range(depth))
        self.decoder = AttentionBlock(
            queries_dim,
            latent_dim,
            heads=cross_heads,
            qk_dim=cross,
            output_dim=queries_dim,
            bias=False,
            query_residual=False,
            activation="geglu",
            feed_forward=decoder_ff,
        )
        self.to_logits = nn.Identity() if logits_dim is None else nn.Linear(queries_dim, logits_dim)

    def forward(self, data: Tensor, mask: Tensor | None = None, queries: Tensor | None = None) -> Tensor:
        """Answers to queries.

        Args:
            data: ``(batch, tokens, dim)``.
            mask: ``(batch, tokens)`` bool, True = attend.
            queries: ``(queries, queries_dim)``, the same for all samples, or ``(batch, queries, queries_dim)``.

        Returns:
            ``(batch, queries, logits_dim)``; without queries the latents ``(batch, num_latents, latent_dim)``.
        """
        x = encode(
            self.latents.expand(data.shape[0], -1, -1), io_steps(self.cross_attend, data, self.layers, mask=mask)
        )
        if queries is None:
            return x
        queries = queries.expand(data.shape[0], -1, -1) if queries.dim() == 2 else queries
        return self.to_logits(self.decoder(queries, x))


class TokenPerceiverIO(SavedModel, tags=["perceiver-io"]):
    """Token ids to logits of every position: perceiver-pytorch 0.11.0's ``PerceiverLM``.

    Args:
        dim: channels of a token, of its position and of a query.
        num_tokens: size of the vocabulary.
        max_seq_len: longest text.
        depth, num_latents, latent_dim, cross_heads, latent_heads, cross_dim_head, latent_dim_head, weight_tie_layers,
        decoder_ff, inverted_cross_attn: as in `ArrayPerceiverIO`.
    """

    def __init__(
        self,
        *,
        dim: int,
        num_tokens: int,
        max_seq_len: int,
        depth: int,
        num_latents: int = 512,
        latent_dim: int = 512,
        cross_heads: int = 1,
        latent_heads: int = 8,
        cross_dim_head: int = 64,
        latent_dim_head: int = 64,
        weight_tie_layers: bool = False,
        decoder_ff: bool = False,
        inverted_cross_attn: bool = False,
    ) -> None:
        super().__init__()
        self.token_emb = nn.Embedding(num_tokens, dim)
        self.pos_emb = nn.Embedding(max_seq_len, dim)
        self.perceiver_io = ArrayPerceiverIO(
            depth=depth,
            dim=dim,
            queries_dim=dim,
            logits_dim=num_tokens,
            num_latents=num_latents,
            latent_dim=latent_dim,
            cross_heads=cross_heads,
            latent_heads=latent_heads,
            cross_dim_head=cross_dim_head,
            latent_dim_head=latent_dim_head,
            weight_tie_layers=weight_tie_layers,
            decoder_ff=decoder_ff,
            inverted_cross_attn=inverted_cross_attn,
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits ``(batch, length, num_tokens)`` of token ids ``(batch, length)``; ``mask`` bool, True = attend."""
        tokens = self.token_emb(x) + self.pos_emb(torch.arange(x.shape[1], device=x.device))
        return self.perceiver_io(tokens, mask, tokens)
