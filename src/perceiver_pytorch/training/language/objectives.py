"""What a language model is trained for: the next byte, or hidden bytes."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from perceiver_pytorch.models.text.byte_tokenizer import MASK, PAD
from perceiver_pytorch.models.text.perceiver_ar import PerceiverAR
from perceiver_pytorch.models.text.perceiver_lm import PerceiverLM
from perceiver_pytorch.nn.randomness import integers, uniform
from perceiver_pytorch.training.language.settings import LanguageConfig
from perceiver_pytorch.training.language.text_file import Bytes, CausalWindows, MaskedWindows
from perceiver_pytorch.training.rows import by_rows


class CausalObjective:
    """The next byte, at the last positions of the context.

    Attributes:
        name: of the objective.
        length: bytes of a training window.
        predicted: how many of them a step predicts.
        first_bits: bits of what no window predicts: the first byte of a text, about which nothing is known.
    """

    name = "causal"
    first_bits = 8.0

    def __init__(self, config: LanguageConfig) -> None:
        self.context = config.data.context
        self.latents = config.model.num_latents
        self.short_contexts = config.training.short_contexts
        self.length = self.context + 1
        self.predicted = self.latents

    def build(self, config: LanguageConfig) -> PerceiverAR:
        """The model, with fresh weights."""
        sizes = config.model
        return PerceiverAR(
            max_length=self.context,
            num_latents=sizes.num_latents,
            latent_dim=sizes.latent_dim,
            depth=sizes.depth,
            heads=sizes.heads,
            dim_head=sizes.latent_dim // sizes.heads,
            cross_heads=sizes.cross_heads,
            cross_dim_head=sizes.latent_dim // sizes.cross_heads,
            num_cross_attends=sizes.num_cross_attends,
            prefix_dropout=sizes.prefix_dropout,
            attn_dropout=sizes.attn_dropout,
            ff_dropout=sizes.ff_dropout,
            activation=sizes.activation,
            widening_factor=sizes.widening_factor,
            rotary_fraction=sizes.rotary_fraction,
            tie_embeddings=sizes.tie_embeddings,
        )

    def loss(self, model: nn.Module, ids: Tensor) -> Tensor:
        """Training loss of windows ``(batch, length)``, in nats per byte; some see less before the latents."""
        if float(uniform((), ids.device)) < self.short_contexts:
            ids = ids[:, -(self.latents + int(integers(self.context + 1 - self.latents, (), ids.device)) + 1) :]
        assert isinstance(model, PerceiverAR)
        return model.loss(ids)

    def windows(self, text: Bytes) -> CausalWindows:
        """What to measure on."""
        return CausalWindows(text, self.context, self.latents)

    def nats(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Cross-entropy of a batch of `windows` in nats, summed, and the number of bytes."""
        ids, counts = batch
        seen = ids != PAD
        read = None if seen.all() else seen[:, :-1]
        logits = model(ids[:, :-1], read)
        latents = logits.shape[1]
        targets = ids[:, -latents:]
        new = torch.arange(latents, device=ids.device) >= latents - counts.unsqueeze(1)
        return _nats(logits, targets, new)


class MaskedObjective:
    """Bytes hidden from the text, from what stands on both sides of them. Attributes as of `CausalObjective`."""

    name = "masked"
    first_bits = 0.0

    def __init__(self, config: LanguageConfig) -> None:
        self.context = self.length = config.data.context
        self.fraction = config.training.mask_fraction
        self.predicted = max(1, round(self.context * self.fraction))

    def build(self, config: LanguageConfig) -> PerceiverLM:
        """The model, with fresh weights."""
        sizes = config.model
        return PerceiverLM(
            max_length=self.context,
            embedding_dim=sizes.embedding_dim,
            num_latents=sizes.num_latents,
            latent_dim=sizes.latent_dim,
            depth=sizes.depth,
            heads=sizes.heads,
            cross_heads=sizes.cross_heads,
            decoder_heads=sizes.cross_heads,
            qk_dim=sizes.latent_dim,
            v_dim=sizes.latent_dim,
            widening_factor=sizes.widening_factor,
            activation=sizes.activation,
            dropout=sizes.ff_dropout,
        )

    def loss(self, model: nn.Module, ids: Tensor) -> Tensor:
        """Training loss of windows ``(batch, length)``, in nats per hidden byte; as many are hidden in each."""
        hidden = uniform(ids.shape, ids.device).topk(self.predicted, dim=1).indices
        logits = model(ids.scatter(1, hidden, MASK), positions=hidden)
        return F.cross_entropy(logits.flatten(0, 1).float(), ids.gather(1, hidden).flatten())

    def windows(self, text: Bytes) -> MaskedWindows:
        """What to measure on."""
        return MaskedWindows(text, self.context, self.fraction)

    def nats(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Cross-entropy of a batch of `windows` in nats, summed, and the number of bytes."""
        ids, hidden = batch
        seen = ids != PAD
        logits = model(ids.masked_fill(hidden, MASK), None if seen.all() else seen)
        return _nats(logits, ids, hidden)


Objective = CausalObjective | MaskedObjective


def objective_of(config: LanguageConfig) -> Objective:
    """The objective that a configuration names."""
    return CausalObjective(config) if config.objective == "causal" else MaskedObjective(config)


def bits_per_byte(
    model: nn.Module,
    objective: Objective,
    text: Bytes,
    *,
    batch_size: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> float:
    """Mean bits that the model needs for a byte of a text of at least two bytes, each predicted once.

    Args:
        model: in evaluation mode, on any device.
        objective: causal: from all that precedes, as far as the context reaches. Masked: from all of its window but a
            share of hidden bytes; not to be compared with a compressor's bits, which know one side only.
        text: the bytes.
        batch_size: windows at a time.
        progress: called with (done, in all).

    Raises:
        ValueError: if the model's outputs are not finite.
    """
    device = next(model.parameters()).device
    windows: Dataset[Any] = objective.windows(text)
    loader: DataLoader[Any] = DataLoader(windows, batch_size=batch_size)
    bits, predicted = objective.first_bits, 0
    with torch.inference_mode():
        for i, batch in enumerate(loader):
            nats, count = nats_of(model, objective, [part.to(device) for part in batch])
            bits += float(nats) / math.log(2)
            predicted += int(count)
            if progress is not None:
                progress(i + 1, len(loader))
    if not math.isfinite(bits):
        raise ValueError(f"the model's outputs for this text are not finite, so it has no bits per byte (got {bits})")
    assert predicted + (objective.first_bits > 0) == len(text)
    return bits / len(text)


def nats_of(model: nn.Module, objective: Objective, batch: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """`nats` of an objective, whose rows are computed in several threads."""

    def compute(rows: slice) -> tuple[Tensor, Tensor]:
        ids, others = batch
        nats, count = objective.nats(model, (ids[rows], others[rows]))
        return nats[None], count[None]

    nats, counts = by_rows(compute, len(batch[0]), batch[0].numel(), model)
    return nats.sum(), counts.sum()


def _nats(logits: Tensor, targets: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy summed over the places that count, and their number."""
    return F.cross_entropy(logits[where].float(), targets[where], reduction="sum"), where.sum()
