"""A model beside which every modality has a head of its own; the answer is a blend of all of theirs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from perceiver_pytorch import _checks
from perceiver_pytorch.models.inputs import Tokens
from perceiver_pytorch.models.masks import Masks
from perceiver_pytorch.models.modalities import Coordinates
from perceiver_pytorch.models.multi_modality_with_text_perceiver import MultiModalityWithTextPerceiver
from perceiver_pytorch.models.multi_task_perceiver import MultiTaskPerceiver
from perceiver_pytorch.models.saving import SavedModel
from perceiver_pytorch.nn.heads import Head, head_config, head_from_config
from perceiver_pytorch.nn.heads.in_pieces import MeanAndMax
from perceiver_pytorch.nn.heads.pooled import mean_and_max

__all__ = ["BlendedPerceiver"]

MAX_HEADS = 6
"""Of more heads not every pattern of present ones has weights of its own."""

Trunk = MultiModalityWithTextPerceiver | MultiTaskPerceiver


@dataclass(frozen=True)
class Reading:
    """Which modalities a head reads.

    Attributes:
        modalities: their names, in the order in which the head takes their tokens.
        lengths: how many tokens a row has of each; None: it varies.
    """

    modalities: tuple[str, ...]
    lengths: tuple[int | None, ...]


@dataclass(frozen=True, eq=False)
class Parts:
    """What each part of a `BlendedPerceiver` answers, the trunk first, then the heads.

    Attributes:
        answers: ``(parts, batch, size)``, the outputs of several tasks one after another.
        there: bool ``(parts, batch)``: whether a row has anything that the part reads. The trunk always answers.
    """

    answers: Float[Tensor, "parts batch size"]
    there: Bool[Tensor, "parts batch"]


class BlendedPerceiver(SavedModel):
    """A model, the *trunk*, and heads that answer from the tokens of single modalities.

    Trunk and heads read the same tokens, those after the stems. The outputs (logits, or standardised numbers) are a
    weighted mean over the parts that a row has something for, so a row that lacks a modality is answered by the others.

    Args:
        trunk: a `MultiModalityWithTextPerceiver` with classes, a `MultiTaskPerceiver`, or the arguments of one.
        heads: per head a mapping with its configuration (`perceiver_pytorch.nn.heads.head_config`), and as ``"reads"``
            pairs of the modalities whose tokens it takes and their number in a row, None where that varies.

    Attributes:
        blend: weights ``(patterns, parts, tasks)``, a buffer. A pattern says which heads have something to read: head i
            adds 2^i to its number. With more than 6 heads all patterns have the same weights. Until `set_blend`, half
            the weight is the trunk's, and the heads share the other half; where there is a joint head, it has 45 % as
            the trunk has, and the others share the rest.
        joint: the number of the head that reads all that the others read, if there is one among several.

    Raises:
        ValueError, TypeError: no head, a head of an unknown modality or of another size than the trunk's output.
    """

    blend: Tensor

    def __init__(self, *, trunk: Trunk | Mapping[str, Any], heads: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        if isinstance(trunk, Mapping):
            trunk = MultiTaskPerceiver(**trunk) if "tasks" in trunk else MultiModalityWithTextPerceiver(**trunk)
        if not isinstance(trunk, Trunk) or not heads:
            raise TypeError("a blend needs a model with classes or tasks, and heads")
        self.trunk = trunk
        self.sizes = _sizes(trunk)
        self.readings = [_reading(head, tuple(self.reader.modalities)) for head in heads]
        self.joint = _joint(self.readings)
        self.heads = nn.ModuleList(head_from_config({k: v for k, v in head.items() if k != "reads"}) for head in heads)
        for head in self.heads:
            if head.size != sum(self.sizes):
                raise ValueError(f"heads must have the trunk's {sum(self.sizes)} outputs, got {head.size}")
        self._record_config(trunk=trunk.recorded_config, heads=[self._recorded(i) for i in range(len(self.heads))])
        patterns = 1 << len(heads) if len(heads) <= MAX_HEADS else 1
        # From a list: other ways of making it on the meta device load PyTorch's compiler.
        shares = [[share] * len(self.sizes) for share in _first_shares(self.readings, self.joint)]
        self.register_buffer("blend", torch.tensor([shares] * patterns))

    @property
    def reader(self) -> Any:
        """What of the trunk reads modalities."""
        return self.trunk.encoder if isinstance(self.trunk, MultiTaskPerceiver) else self.trunk

    def set_blend(self, weights: Float[Tensor, "patterns parts tasks"]) -> None:
        """Sets the weights of the parts. They need not sum to 1: they are shared out anew for the parts that a row has.

        Raises:
            ValueError: for another shape, weights below 0, or a trunk without any.
        """
        if weights.shape != self.blend.shape or not bool((weights >= 0).all()) or not bool((weights[:, 0] > 0).all()):
            shape = tuple(self.blend.shape)
            raise ValueError(f"weights must be {shape}, those of the trunk above 0, others at least 0, got {weights}")
        self.blend.copy_(weights)

    def forward(
        self,
        multi_modality_data: Mapping[str, Tensor],
        mask: Masks = None,
        *,
        present: Mapping[str, Tensor] | None = None,
        coordinates: Mapping[str, Coordinates] | None = None,
    ) -> Tensor | dict[str, Tensor]:
        """Arguments as in `MultiModalityWithTextPerceiver`.

        Returns:
            ``(batch, num_classes)``, or ``{task: (batch, size)}`` where the trunk has tasks.
        """
        return self.answers_of(self.tokens(multi_modality_data, mask, present, coordinates))

    def tokens(
        self,
        inputs: Mapping[str, Tensor],
        mask: Masks = None,
        present: Mapping[str, Tensor] | None = None,
        coordinates: Mapping[str, Coordinates] | None = None,
    ) -> dict[str, Tokens]:
        """What trunk and heads read; see `PerceiverBase.tokens`."""
        return self.trunk.tokens(inputs, mask, present, coordinates)

    def answers_of(self, tokens: Mapping[str, Tokens]) -> Tensor | dict[str, Tensor]:
        """What `forward` gives, of tokens; modalities may be left out of them."""
        return self.named(self.blended(self.parts(tokens)))

    def parts(self, tokens: Mapping[str, Tokens], for_trunk: Mapping[str, Tokens] | None = None) -> Parts:
        """What trunk and heads answer.

        Args:
            tokens: of `tokens`.
            for_trunk: what the trunk reads instead, with more of it masked.
        """
        answer = self.trunk.answers_of(tokens if for_trunk is None else for_trunk)
        trunk = torch.cat(list(answer.values()), dim=-1) if isinstance(answer, dict) else answer
        pooled: dict[str, MeanAndMax] = {}
        answers, there = [trunk], [torch.ones(trunk.shape[0], dtype=torch.bool, device=trunk.device)]
        for head, reading in zip(self.heads, self.readings, strict=True):
            if not any(name in tokens for name in reading.modalities):
                answers.append(torch.zeros_like(trunk))
                there.append(torch.zeros_like(there[0]))
                continue
            read = [self._read(tokens, *pair) for pair in zip(reading.modalities, reading.lengths, strict=True)]
            for name, one in zip(reading.modalities, read, strict=True):
                if name not in pooled and (one.rows or one.stream is not None):
                    pooled[name] = self._pooled(name, one)
            data = [pooled.get(name, one.data) for name, one in zip(reading.modalities, read, strict=True)]
            answers.append(head(data, [one.mask for one in read]))
            there.append(torch.stack([one.there for one in read]).any(0))
        return Parts(torch.stack(answers), torch.stack(there))

    def blended(self, parts: Parts) -> Float[Tensor, "batch size"]:
        """The weighted mean of the answers that a row has."""
        weights = self.weights(parts.there)
        tasks = [task for task, size in enumerate(self.sizes) for _ in range(size)]  # of each output
        return (weights[..., tasks] * parts.answers).sum(0)

    def weights(self, there: Bool[Tensor, "parts batch"]) -> Float[Tensor, "parts batch tasks"]:
        """What each part counts in each row; they sum to 1."""
        weights = self.blend[self.patterns(there)].movedim(0, 1) * there.unsqueeze(-1)
        return weights / weights.sum(0)

    def patterns(self, there: Bool[Tensor, "parts batch"]) -> Int[Tensor, " batch"]:
        """The number of each row's pattern, an index of `blend`."""
        numbers = torch.zeros_like(there[0], dtype=torch.long)
        if len(self.blend) > 1:
            for i, has in enumerate(there[1:]):
                numbers = numbers + (has.long() << i)
        return numbers

    def named(self, outputs: Float[Tensor, "batch size"]) -> Tensor | dict[str, Tensor]:
        """The outputs as the trunk has them: by task, or those of the only one."""
        if not isinstance(self.trunk, MultiTaskPerceiver):
            return outputs
        return dict(zip(self.trunk.tasks, outputs.split(self.sizes, dim=-1), strict=True))

    def summary(self, inputs: Mapping[str, Tensor | Sequence[int]] | None = None) -> str:
        """A few lines, as `MultiModalityWithTextPerceiver.summary`, and one about the heads."""
        parameters = sum(p.numel() for p in self.heads.parameters())
        lines = self.trunk.summary(inputs).splitlines()
        read = ", ".join(" + ".join(reading.modalities) for reading in self.readings)
        return "\n".join([*lines, f"heads of their own ({parameters:,} parameters more): {read}"])

    def extra_repr(self) -> str:
        return self.summary()

    def _read(self, tokens: Mapping[str, Tokens], name: str, length: int | None) -> Tokens:
        """The tokens of a modality, or as many masked ones where the batch lacks it."""
        if name in tokens:
            return tokens[name]
        one = next(iter(tokens.values())).data
        channels = self.reader.modalities[name].data_channels
        data = one.new_zeros(one.shape[0], length or 1, channels, dtype=torch.get_default_dtype())
        return Tokens(data, torch.zeros(data.shape[:-1], dtype=torch.bool, device=data.device))

    def _pooled(self, name: str, tokens: Tokens) -> MeanAndMax:
        """Of a modality of which some comes in pieces, once for all heads."""
        reader, made = self.reader, self.reader.parameters_of(name)

        def pooled(one: Tokens) -> MeanAndMax:
            return MeanAndMax.of_pieces(lambda: ((each.data, each.mask) for each in reader.pieces(name, one)), made)

        if tokens.stream is not None:
            return pooled(tokens)
        found = MeanAndMax(*mean_and_max(tokens.data, tokens.mask))
        for row, one in tokens.rows.items():
            found = found.with_row(row, pooled(one))
        return found

    def _recorded(self, index: int) -> dict[str, Any]:
        reading = self.readings[index]
        head = self.heads[index]
        assert isinstance(head, Head)
        return {"reads": list(zip(reading.modalities, reading.lengths, strict=True)), **head_config(head)}


def _sizes(trunk: Trunk) -> list[int]:
    if isinstance(trunk, MultiTaskPerceiver):
        return list(trunk.tasks.values())
    if trunk.num_classes is None:
        raise ValueError("the trunk must have classes")
    return [trunk.num_classes]


def _joint(readings: Sequence[Reading]) -> int | None:
    """The one head of several that reads all that they read; None if there is none."""
    every = {name for reading in readings for name in reading.modalities}
    found = [i for i, reading in enumerate(readings) if {*reading.modalities} == every]
    return found[0] if len(readings) > 1 and len(found) == 1 else None


def _first_shares(readings: Sequence[Reading], joint: int | None) -> list[float]:
    """Weights of trunk and heads before any are learned: what reads everything knows most."""
    count = len(readings)
    if joint is None:
        return [0.5, *[0.5 / count] * count]
    return [0.45, *(0.45 if i == joint else 0.1 / (count - 1) for i in range(count))]


def _reading(head: Mapping[str, Any], known: tuple[str, ...]) -> Reading:
    pairs = [(_checks.choice("a modality of a head", name, known), length) for name, length in head["reads"]]
    return Reading(tuple(name for name, _ in pairs), tuple(length for _, length in pairs))
