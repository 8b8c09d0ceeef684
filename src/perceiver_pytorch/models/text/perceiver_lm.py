"""`PerceiverLM`: a masked language model on bytes, with one query per position."""

from typing import Any

import torch
from torch import Tensor, nn

from perceiver_pytorch import _checks
from perceiver_pytorch.models.saving import SavedModel
from perceiver_pytorch.models.text.byte_tokenizer import FIRST_BYTE, MASK, VOCAB_SIZE
from perceiver_pytorch.nn.block import AttentionBlock
from perceiver_pytorch.nn.encoder import encode, io_steps
from perceiver_pytorch.nn.init import init_linears, waves
from perceiver_pytorch.nn.plain import is_plain, weight_of


class PerceiverLM(SavedModel, tags=["fill-mask"]):
    """Perceiver IO's language model (Jaegle et al. 2021, arXiv 2107.14795, section 4.1 and appendix F).

    Bytes and learned positions are read by one cross-attend into the latents; latent blocks follow; a learned query per
    position reads the latents, and is compared with the byte embeddings themselves. The defaults are the published
    model's sizes (201.1 million parameters).

    Args:
        vocab_size: number of tokens; default: 256 bytes and 6 special ones, see `ByteTokenizer`.
        max_length: longest text, in tokens; also the number of queries.
        embedding_dim: channels of a token, of its position and of a query.
        num_latents, latent_dim: size of the latent array.
        depth: latent blocks.
        heads, cross_heads, decoder_heads: of the latent blocks, of the cross-attend that reads the input, and of the
            one that answers the queries.
        qk_dim: channels of queries and keys, of all heads together, in every attention.
        v_dim: channels of the values in cross-attend and latent blocks, of all heads together; the decoder's values
            have ``embedding_dim`` channels.
        widening_factor, activation: of the feed-forwards.
        dropout: probability, after attention and in feed-forwards.
        weight_tie_layers: one latent block, applied ``depth`` times.

    Raises:
        ValueError, TypeError: for sizes that cannot be; the message names the argument.

    Example:
        >>> import torch
        >>> sizes = {"embedding_dim": 16, "num_latents": 4, "latent_dim": 32, "depth": 1, "qk_dim": 16, "v_dim": 32}
        >>> model = PerceiverLM(max_length=64, **sizes)
        >>> model(torch.randint(6, 262, (2, 50))).shape
        torch.Size([2, 50, 262])
    """

    def __init__(
        self,
        *,
        vocab_size: int = VOCAB_SIZE,
        max_length: int = 2048,
        embedding_dim: int = 768,
        num_latents: int = 256,
        latent_dim: int = 1280,
        depth: int = 26,
        heads: int = 8,
        cross_heads: int = 8,
        decoder_heads: int = 8,
        qk_dim: int = 256,
        v_dim: int = 1280,
        widening_factor: int = 1,
        activation: str = "gelu",
        dropout: float = 0.0,
        weight_tie_layers: bool = False,
    ) -> None:
        super().__init__()
        _checks.positive_ints(vocab_size=vocab_size, max_length=max_length, embedding_dim=embedding_dim)
        _checks.positive_ints(num_latents=num_latents, latent_dim=latent_dim, depth=depth)
        _checks.num_blocks(depth)
        self.vocab_size = vocab_size
        self.max_length = max_length
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.positions = nn.Embedding(max_length, embedding_dim)
        self.latents = nn.Parameter(torch.empty(num_latents, latent_dim))
        common: dict[str, Any] = {
            "qk_dim": qk_dim,
            "widening_factor": widening_factor,
            "activation": activation,
            "dropout": dropout,
        }
        self.cross_attend = AttentionBlock(latent_dim, embedding_dim, heads=cross_heads, v_dim=v_dim, **common)
        self.depth = depth
        self.latent_blocks = nn.ModuleList(
            AttentionBlock(latent_dim, heads=heads, v_dim=v_dim, **common)
            for _ in range(1 if weight_tie_layers else depth)
        )
        self.queries = nn.Parameter(torch.empty(max_length, embedding_dim))
        self.decoder = AttentionBlock(
            embedding_dim, latent_dim, heads=decoder_heads, v_dim=embedding_dim, query_residual=False, **common
        )
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        self._init_weights()

    def _init_weights(self) -> None:
        """Lets every latent begin as a reader of a stretch of the text, and every query as one of the latents there.

        Positions, latents and queries start as the same waves over the text, and keys are projected as queries are, so
        that things near one another attend to one another from the first step. From independent random weights a model
        needs hundreds of steps to find out which positions concern a query.
        """
        init_linears(self, "variance_scaling")
        nn.init.normal_(self.embedding.weight, std=0.05)
        span = float(self.max_length)
        with torch.no_grad():
            for array in (self.positions.weight, self.latents, self.queries):
                array.copy_(waves(array.shape[0], array.shape[1], span, amplitude=0.1))
            for block in (self.cross_attend, *self.latent_blocks, self.decoder):
                if block.to_k.weight.shape == block.to_q.weight.shape:
                    block.to_k.weight.copy_(block.to_q.weight)

    def forward(self, tokens: Tensor, mask: Tensor | None = None, positions: Tensor | None = None) -> Tensor:
        """Logits of the token at each position.

        Args:
            tokens: ids ``(batch, length)``, integer, up to ``max_length`` of them; ``[MASK]`` where one is wanted.
            mask: ``(batch, length)`` bool, True where there is a token, False at padding.
            positions: ``(batch, answers)`` int64, the positions that are asked for; default: all. Training asks for the
                hidden ones alone.

        Returns:
            ``(batch, length, vocab_size)``, or ``(batch, answers, vocab_size)``.

        Raises:
            ValueError, TypeError: for wrong shapes, dtypes, lengths, ids or positions.
        """
        ids = _checks.token_ids("tokens", tokens, self.vocab_size, self.max_length)
        if mask is not None:
            _checks.boolean_mask("mask", mask, ids.shape)
        length = ids.shape[1]
        latents = self.encode(self.embedding(ids) + self._positions(length), mask)
        if positions is None:
            queries = self.queries[:length].expand(ids.shape[0], -1, -1)
        else:
            queries = self.queries[_checks.places("positions", positions, ids.shape[0], length)]
        out = self.decoder(queries, latents)
        return out @ weight_of("embedding", self.embedding).T + self.bias

    def _positions(self, length: int) -> Tensor:
        """Learned positions ``(length, embedding_dim)``."""
        if is_plain(self.positions):
            return self.positions.weight[:length]
        return self.positions(torch.arange(length, device=self.latents.device))

    @torch.no_grad()
    def fill(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """The tokens with every ``[MASK]`` replaced by a byte: the surest gap of each sample first, then the next.

        Args:
            tokens, mask: as in `forward`.
        """
        ids = _checks.token_ids("tokens", tokens, self.vocab_size, self.max_length).clone()
        was_training = self.training
        self.eval()
        try:
            while (gaps := ids == MASK).any():
                logits = self(ids, mask)
                logits[..., :FIRST_BYTE] = -torch.inf  # a special token would be no byte
                best, byte = logits.log_softmax(-1).max(-1)
                surest = best.masked_fill(~gaps, -torch.inf).argmax(1, keepdim=True)
                found = gaps.any(1, keepdim=True)
                chosen = torch.where(found, byte.gather(1, surest), ids.gather(1, surest))
                ids = ids.scatter(1, surest, chosen)
        finally:
            self.train(was_training)
        return ids

    def encode(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Latents ``(batch, num_latents, latent_dim)`` of embedded tokens ``(batch, length, embedding_dim)``."""
        repeats = self.depth // len(self.latent_blocks)
        steps = io_steps(self.cross_attend, x, self.latent_blocks, repeats=repeats, mask=mask)
        return encode(self.latents.expand(x.shape[0], -1, -1), steps)
