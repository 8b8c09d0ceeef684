"""Rows in pieces: words, segments, patches and columns that are hidden one by one, or one after another."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from perceiver_pytorch.data import Batch, ModalitySpec, Sample
from perceiver_pytorch.data.kinds.base import BLANK
from perceiver_pytorch.explain.subject import Question, Subject, repeated

AT_ONCE = 64
"""Rows of a batch of what is left of a row."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """The pieces of one row.

    Attributes:
        batch: the row.
        labels: {modality: int64 ``(*axes)`` or ``(*axes, channels)``, the number of each token's piece, or -1}.
        names: the modality of each piece, by its number.
    """

    subject: Subject
    batch: Batch
    labels: dict[str, Tensor]
    names: tuple[str, ...]

    @classmethod
    def of(cls, subject: Subject, sample: Sample, most: int) -> "Pieces":
        """Args:
        subject: what is explained.
        sample: the row.
        most: pieces of a modality, about.
        """
        batch = subject.batch(sample)
        labels: dict[str, Tensor] = {}
        names: list[str] = []
        for modality in subject.spec.modalities:
            encoded = sample.inputs[modality.name]
            if encoded is None:
                continue
            found = np.asarray(modality.pieces(encoded, most), dtype=np.int64)
            if encoded.mask is not None:
                there = encoded.mask if found.ndim == encoded.mask.ndim else encoded.mask[..., None]
                found = np.where(there, found, -1)
            known, numbers = np.unique(found, return_inverse=True)
            numbers = numbers.reshape(found.shape) - (known[0] == -1)
            labels[modality.name] = torch.from_numpy(np.where(found < 0, -1, numbers + len(names))).to(subject.device)
            names += [modality.name] * int((known >= 0).sum())
        return cls(subject, batch, labels, tuple(names))

    def __len__(self) -> int:
        return len(self.names)

    def without(self, hidden: Tensor) -> Batch:
        """The row once for each row of ``hidden``, bool ``(rows, pieces)``, with its pieces hidden where that is True:
        blank or masked, as the kind of the modality says."""
        batch = repeated(self.batch, len(hidden))
        gone = torch.cat([hidden, hidden.new_zeros(len(hidden), 1)], 1)  # -1 is the last one
        for modality in self.subject.spec.modalities:
            if (labels := self.labels.get(modality.name)) is None:
                continue
            values, mask, where = batch.inputs[modality.name], batch.masks.get(modality.name), gone[:, labels]
            if modality.hidden_by == BLANK:
                where = where if where.dim() == values.dim() else where.unsqueeze(-1)
                batch.inputs[modality.name] = torch.where(where, self._blank(modality), values)
            else:
                there = torch.ones_like(where) if mask is None else mask
                batch.masks[modality.name] = there & ~where
        return batch

    def _blank(self, modality: ModalitySpec) -> Tensor:
        values, mask = self.batch.inputs[modality.name], self.batch.masks.get(modality.name)
        return modality.blank(values.float(), mask).to(values.dtype)

    @torch.no_grad()
    def evidence(self, question: Question, hidden: Tensor) -> Tensor:
        """``(rows,)``: of the row without what is hidden, ``(rows, pieces)``."""
        found = [question.evidence(self.subject, self.without(part)) for part in hidden.split(AT_ONCE)]
        return torch.cat(found)

    def effects(self, question: Question) -> Tensor:
        """float ``(pieces,)``: by how much the evidence falls when a piece is hidden (occlusion: Zeiler and Fergus
        2014, arXiv 1311.2901)."""
        alone = torch.eye(len(self), dtype=torch.bool, device=self.subject.device)
        nothing = alone.new_zeros(1, len(self))
        whole, *others = self.evidence(question, torch.cat([nothing, alone])).split([1, len(self)])
        return whole - others[0]

    def spread(self, values: Tensor) -> dict[str, np.ndarray]:
        """{modality: a value of each piece ``(pieces,)`` at all of its tokens}, as `labels` has them."""
        padded = torch.cat([values, values.new_zeros(1)])
        return {name: padded[labels].float().cpu().numpy() for name, labels in self.labels.items()}

    def means(self, maps: Mapping[str, np.ndarray]) -> Tensor:
        """``(pieces,)``: the mean of a map over each piece; maps are as `labels`, with channels or without."""
        total = torch.zeros(len(self), dtype=torch.float64)
        count = torch.zeros_like(total)
        for name, labels in self.labels.items():
            if name not in maps:
                continue
            values, where = _alike(torch.from_numpy(np.asarray(maps[name], dtype=np.float64)), labels.cpu())
            real = where >= 0
            total.index_add_(0, where[real], values[real])
            count.index_add_(0, where[real], torch.ones_like(values[real]))
        return total / count.clamp_min(1)


def _alike(values: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Values and labels of one shape: channels are summed, or a token's value holds for all of them."""
    if values.dim() > labels.dim():
        return values.sum(-1), labels
    if values.dim() < labels.dim():
        return (values / labels.shape[-1]).unsqueeze(-1).expand(labels.shape), labels
    return values, labels
