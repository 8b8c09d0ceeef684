"""`PerceiverAR`: a causal language model whose latents are the last positions of a long context."""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perceiver_pytorch import _checks
from perceiver_pytorch.models.saving import SavedModel
from perceiver_pytorch.models.text.ar_cache import ARCache
from perceiver_pytorch.models.text.byte_tokenizer import PAD, VOCAB_SIZE
from perceiver_pytorch.models.text.generation import Windows, continue_prompts
from perceiver_pytorch.models.text.sampling import check_sampling, sample
from perceiver_pytorch.nn.causal import CausalLayer, KeyValues, Places, causal_mask
from perceiver_pytorch.nn.encoder import Step, encode
from perceiver_pytorch.nn.feed_forward import FEED_FORWARD
from perceiver_pytorch.nn.init import init_linears
from perceiver_pytorch.nn.randomness import uniform
from perceiver_pytorch.nn.rotary import rotary_table


class PerceiverAR(SavedModel, tags=["text-generation"]):
    """Perceiver AR (Hawthorne et al. 2022, arXiv 2202.07765).

    The last ``num_latents`` positions of a context of up to ``max_length`` tokens are the latents: each attends to all
    positions up to its own (the cross-attend), then a causal transformer works on the latents alone, and each predicts
    the token that follows its position. A long context therefore costs one attention of ``num_latents`` x
    ``max_length``; depth costs what ``num_latents`` tokens cost.

    Positions are rotary, and only that: what a token is to another depends on their distance. (The paper's absolute
    position embeddings besides them are left out; a window may then start anywhere in a text.) The cross-attend is
    PyTorch's scaled dot-product attention on keys and values, not this package's operator on structured contexts: that
    one computes a score from channels that are the same for every query, while a rotary key turns against each query
    and a causal mask differs from query to query.

    Args:
        vocab_size: number of tokens; default: 256 bytes and 6 special ones, see `ByteTokenizer`.
        max_length: longest context, in tokens.
        num_latents: most positions that are latents, and so predict at a time.
        latent_dim: channels of a token and of a latent.
        depth: latent layers (self-attention and feed-forward).
        heads, dim_head: heads of the latent layers, channels per head.
        cross_heads, cross_dim_head: of the cross-attend.
        num_cross_attends: cross-attends before the latent layers, each onto the whole context.
        prefix_dropout: share of the positions before the latents that a training step does not see, drawn anew for each
            sample (the paper's cross-attend dropout). They are left out of the computation, not multiplied by zero.
        attn_dropout, ff_dropout: probabilities after attention and in feed-forwards.
        activation: of the feed-forwards, ``"gelu"`` or ``"geglu"``.
        widening_factor: of the feed-forwards.
        rotary_fraction: share of a head's channels that turn with position; the others compare content alone.
        rotary_base: sets the longest wavelength of the positions.
        tie_embeddings: predict with the token embedding itself instead of a matrix of its own.

    Raises:
        ValueError, TypeError: for sizes that cannot be; the message names the argument.
    """

    def __init__(
        self,
        *,
        vocab_size: int = VOCAB_SIZE,
        max_length: int = 4096,
        num_latents: int = 1024,
        latent_dim: int = 512,
        depth: int = 6,
        heads: int = 8,
        dim_head: int = 64,
        cross_heads: int = 8,
        cross_dim_head: int = 64,
        num_cross_attends: int = 1,
        prefix_dropout: float = 0.0,
        attn_dropout: float = 0.0,
        ff_dropout: float = 0.0,
        activation: str = "gelu",
        widening_factor: int = 4,
        rotary_fraction: float = 0.5,
        rotary_base: float = 10_000.0,
        tie_embeddings: bool = True,
    ) -> None:
        super().__init__()
        _checks.positive_ints(vocab_size=vocab_size, max_length=max_length, num_latents=num_latents)
        _checks.positive_ints(latent_dim=latent_dim, depth=depth, heads=heads, dim_head=dim_head)
        _checks.positive_ints(cross_heads=cross_heads, cross_dim_head=cross_dim_head)
        _checks.positive_ints(num_cross_attends=num_cross_attends, widening_factor=widening_factor)
        _checks.num_blocks(depth + num_cross_attends)
        _checks.probabilities(prefix_dropout=prefix_dropout, attn_dropout=attn_dropout, ff_dropout=ff_dropout)
        _checks.probability("rotary_fraction", rotary_fraction)
        _checks.choice("activation", activation, tuple(FEED_FORWARD))
        if _checks.number("rotary_base", rotary_base) <= 1:
            raise ValueError(f"rotary_base must be greater than 1, got {rotary_base}")
        if num_latents > max_length:
            raise ValueError(f"num_latents ({num_latents}) must not exceed max_length ({max_length})")

        self.vocab_size, self.max_length, self.num_latents = vocab_size, max_length, num_latents
        self.prefix_dropout, self.rotary_base = prefix_dropout, rotary_base
        self.rotary_channels = _turning("dim_head", dim_head, rotary_fraction)
        self.cross_rotary_channels = _turning("cross_dim_head", cross_dim_head, rotary_fraction)

        layer = partial(
            CausalLayer,
            latent_dim,
            attn_dropout=attn_dropout,
            activation=activation,
            widening_factor=widening_factor,
            ff_dropout=ff_dropout,
        )
        self.embedding = nn.Embedding(vocab_size, latent_dim)
        self.cross_attends = nn.ModuleList(
            layer(latent_dim, heads=cross_heads, dim_head=cross_dim_head) for _ in range(num_cross_attends)
        )
        self.latent_layers = nn.ModuleList(layer(heads=heads, dim_head=dim_head) for _ in range(depth))
        self.norm = nn.LayerNorm(latent_dim)
        self.to_logits = nn.Linear(latent_dim, vocab_size)
        init_linears(self, "variance_scaling")
        nn.init.normal_(self.embedding.weight, std=0.02)
        if tie_embeddings:
            self.to_logits.weight = self.embedding.weight

    def forward(
        self,
        tokens: Tensor,
        mask: Tensor | None = None,
        *,
        num_latents: int | None = None,
        cache: ARCache | None = None,
    ) -> Tensor:
        """Logits of the token that follows each of the last positions.

        Args:
            tokens: ids ``(batch, length)``, integer, up to ``max_length`` of them.
            mask: ``(batch, length)`` bool, True where there is a token. Padding may stand anywhere; on the left it
                keeps the last positions together (`ByteTokenizer.batch` with ``side="left"``).
            num_latents: how many of the last positions are latents; default: the model's ``num_latents``, or all where
                there are fewer.
            cache: of `new_cache`. The tokens are taken to follow those that it holds, and are added to it; in the first
                call the last ``num_latents`` are latents, later all of them.

        Returns:
            ``(batch, latents, vocab_size)``: the logits at place i are those of the token after position
            ``length - latents + i``. At padding they mean nothing.

        Raises:
            ValueError, TypeError: for wrong shapes, dtypes, lengths or ids.
        """
        read, held = (0, 0) if cache is None else (cache.length, cache.latents)
        ids = _checks.token_ids("tokens", tokens, self.vocab_size, self.max_length - read)
        if mask is not None:
            _checks.boolean_mask("mask", mask, ids.shape)
        new = self._new_latents(num_latents, ids.shape[1], read, held)
        if cache is not None:
            mask = cache.extend(ids, mask, new)

        x = self.embedding(ids)
        positions = torch.arange(read, read + ids.shape[1], device=ids.device)
        own = positions[-new:]
        latent_mask = None if mask is None else mask[:, -(held + new) :]
        within = self._places(own, own, self.rotary_channels, held + new, latent_mask)
        context = x
        if self.training and self.prefix_dropout and cache is None:
            kept = self._kept(ids, new)
            context = x.gather(1, kept.unsqueeze(-1).expand(-1, -1, x.shape[-1]))
            mask = None if mask is None else mask.gather(1, kept)
            positions = kept
        across = self._places(own, positions, self.cross_rotary_channels, read + context.shape[1], mask)

        steps = [
            *_steps(self.cross_attends, None if cache is None else cache.across, places=across, context=context),
            *_steps(self.latent_layers, None if cache is None else cache.within, places=within),
        ]
        return self.to_logits(self.norm(encode(x[:, -new:], steps)))

    def loss(self, tokens: Tensor, mask: Tensor | None = None, *, num_latents: int | None = None) -> Tensor:
        """Mean cross-entropy, in nats per token, of the last positions' next tokens.

        Args:
            tokens: ``(batch, length + 1)``: the context and, one further, what it is to predict.
            mask: ``(batch, length + 1)`` bool, False at padding; what is padding or follows it is not predicted.
            num_latents: as in `forward`.
        """
        if _checks.tensor("tokens", tokens).dim() != 2 or tokens.shape[1] < 2:
            raise ValueError(f"tokens must be (batch, 2 or more), each predicts the next, got {tuple(tokens.shape)}")
        logits = self(tokens[:, :-1], None if mask is None else mask[:, :-1], num_latents=num_latents)
        count = logits.shape[1]
        targets = tokens[:, -count:].long()
        if mask is not None:
            counts = mask[:, -count:] & mask[:, -count - 1 : -1]
            targets = targets.masked_fill(~counts, -100)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)

    def new_cache(self) -> ARCache:
        """An empty cache for the tokens of one window, up to ``max_length`` with ``num_latents`` latents."""
        return ARCache(
            [KeyValues(self.max_length) for _ in self.cross_attends],
            [KeyValues(self.num_latents) for _ in self.latent_layers],
        )

    @torch.no_grad()
    def generate(
        self,
        prompt: Tensor,
        max_new_tokens: int,
        *,
        mask: Tensor | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        stop_token: int | None = None,
        pad_token: int = PAD,
        seed: int | None = None,
        generator: torch.Generator | None = None,
        window_latents: int | None = None,
        use_cache: bool = True,
    ) -> Tensor:
        """Continues each prompt, token by token; see `perceiver_pytorch.models.text.generation` for windows.

        Args:
            prompt: ids ``(batch, length)`` of at least one token, of any length.
            max_new_tokens: tokens to append.
            mask: ``(batch, length)`` bool, False at the padding to the left of shorter prompts.
            temperature, top_k, top_p: see `models.text.sampling.sample`; ``temperature=0`` takes the likeliest.
            stop_token: a sample ends with it, and generation when all have ended.
            pad_token: what follows a sample's ``stop_token``.
            seed, generator: of the random numbers; at most one of the two.
            window_latents: latents that a window opens with; default: half of ``num_latents``.
            use_cache: False computes every token anew, to the same logits.

        Returns:
            The new tokens alone, ``(batch, up to max_new_tokens)`` int64.

        Raises:
            ValueError, TypeError: for settings that cannot be; the message names the argument.
        """
        _checks.positive_int("max_new_tokens", max_new_tokens)
        check_sampling(temperature, top_k, top_p)
        ids = _checks.token_ids("prompt", prompt, self.vocab_size)
        if mask is not None:
            _checks.boolean_mask("mask", mask, ids.shape)
            if not (mask[:, -1].all() and (mask[:, 1:] >= mask[:, :-1]).all()):
                raise ValueError("mask must be False at the left of a prompt only: pad shorter prompts on the left")
        for name, token in (("stop_token", stop_token), ("pad_token", pad_token)):
            if token is not None and not 0 <= token < self.vocab_size:
                raise ValueError(f"{name} must lie in [0, {self.vocab_size}), got {token}")
        if seed is not None:
            if generator is not None:
                raise ValueError("give seed or generator, not both")
            generator = torch.Generator(ids.device).manual_seed(_checks.seed("seed", seed))
        choose = partial(sample, temperature=temperature, top_k=top_k, top_p=top_p, generator=generator)
        was_training = self.training
        self.eval()
        try:
            windows = Windows(self, ids, mask, window_latents, use_cache)
            return continue_prompts(windows, max_new_tokens, choose, stop_token=stop_token, pad_token=pad_token)
        finally:
            self.train(was_training)

    def _places(self, queries: Tensor, keys: Tensor, channels: int, in_all: int, mask: Tensor | None) -> Places:
        """Rotary tables of queries and new keys, and what each query may see of ``in_all`` keys, earlier ones too."""
        return Places(
            rotary_table(queries, channels, self.rotary_base),
            rotary_table(keys, channels, self.rotary_base),
            causal_mask(len(queries), in_all, mask, queries.device),
        )

    def _kept(self, ids: Tensor, latents: int) -> Tensor:
        """The positions ``(batch, kept)`` that a training step sees: some before the latents, and the latents' own."""
        batch, length = ids.shape
        before = length - latents
        chance = uniform((batch, before), ids.device)
        some = chance.topk(before - int(before * self.prefix_dropout), dim=1).indices.sort(dim=1).values
        own = torch.arange(before, length, device=ids.device).expand(batch, -1)
        return torch.cat((some, own), dim=1)

    def _new_latents(self, asked: int | None, length: int, read: int, held: int) -> int:
        """How many of ``length`` new tokens are latents, where ``read`` tokens and ``held`` latents came before."""
        room = self.num_latents - held
        if read:
            if length > room or asked not in (None, length):
                raise ValueError(
                    f"all {length} tokens become latents after the first call with a cache, which has room for {room}; "
                    f"got num_latents={asked}"
                )
            return length
        most = min(length, room)
        if asked is None:
            return most
        if _checks.positive_int("num_latents", asked) > most:
            raise ValueError(
                f"num_latents must be at most {most} for {length} tokens and a model of {self.num_latents}, got {asked}"
            )
        return asked


def _steps(layers: nn.ModuleList, caches: list[KeyValues] | None, **given: Any) -> list[Step]:
    """Each layer with its cache and what all of them are given."""
    return [partial(layer, **given, cache=None if caches is None else caches[i]) for i, layer in enumerate(layers)]


def _turning(name: str, dim_head: int, fraction: float) -> int:
    """Channels of a head that turn: an even number."""
    channels = 2 * int(dim_head * fraction / 2)
    if fraction and not channels:
        raise ValueError(f"{name} must be larger for rotary_fraction {fraction}: no pair of {dim_head} channels turns")
    return channels
