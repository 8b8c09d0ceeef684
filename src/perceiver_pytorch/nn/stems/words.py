"""Words: each of several ids becomes one vector, and a convolution lets a word see its neighbours."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from perceiver_pytorch import _checks
from perceiver_pytorch._execution import execution, is_eager
from perceiver_pytorch.nn.stems.base import Coordinates, Reach, Stem, kept

_DEVIATION = 0.05  # of fresh vectors: the norm behind them makes up for it, and steps move them fast


class WordStem(Stem):
    """The mean of the vectors of a token's ids, plus a convolution over three neighbours, and a layer norm.

    Id 0 is none. The first two ids of a token are of the word and of the pair with the word before, the others of parts
    that words have in common.

    Args:
        num_ids: of all kinds, 0 included.
        channels: of a token.
        shared: whether modalities of one model that have such a stem look up their ids in one table.

    Raises:
        ValueError, TypeError: for sizes that are no positive numbers.
    """

    name: ClassVar[str] = "words"
    rows_by_id: ClassVar[tuple[str, ...]] = ("table.weight",)

    def __init__(self, num_ids: int, channels: int = 64, shared: bool = False) -> None:
        super().__init__()
        self.num_ids = _checks.positive_int("num_ids", num_ids)
        self.channels = _checks.positive_int("channels", channels)
        self.shared = bool(shared)
        self.table = nn.EmbeddingBag(num_ids, channels, mode="mean", padding_idx=0)
        nn.init.normal_(self.table.weight, std=_DEVIATION)
        self.neighbours = nn.Conv1d(channels, channels, 3, padding=1)
        self.norm = nn.LayerNorm(channels)

    @property
    def reach(self) -> Reach:
        return Reach(1, 1, 1)

    def to_config(self) -> dict[str, Any]:
        config = {"num_ids": self.num_ids, "channels": self.channels}
        return {**config, "shared": True} if self.shared else config

    def join(self, others: Sequence[nn.Module]) -> None:
        tables = [other.table for other in others if isinstance(other, WordStem) and other.shared and self.shared]
        same = [table for table in tables if table.weight.shape == self.table.weight.shape]
        self.table = same[0] if same else self.table

    def forward(
        self,
        data: Shaped[Tensor, "batch length ids"],
        mask: Bool[Tensor, "batch length"] | None,
        coordinates: Coordinates | None,
    ) -> tuple[Float[Tensor, "batch length channels"], Tensor | None, Coordinates | None]:
        """As in `Stem`.

        Raises:
            TypeError: if the ids are no integers.
            ValueError: if an id is outside of the table (only checked where values are known).
        """
        ids = kept(self._checked(data), mask)
        words = kept(self._mean(ids), mask)
        seen = self.neighbours(words.movedim(-1, 1)).movedim(1, -1)
        return self.norm(words + seen), mask, coordinates

    def _mean(self, ids: Tensor) -> Tensor:
        """The mean of the vectors of each token's ids ``(batch, length, ids)``, 0 of a token without any."""
        if execution(ids) != "export":
            return self.table(ids.flatten(0, 1)).unflatten(0, ids.shape[:2])
        # Elsewhere bags of ids become a loop over them. Id 0 counts for nothing, whatever its vector.
        there = (ids > 0).unsqueeze(-1)
        total = torch.where(there, nn.functional.embedding(ids, self.table.weight), 0.0).sum(-2)
        return total / there.sum(-2).clamp_min(1)

    def _checked(self, ids: Tensor) -> Tensor:
        if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
            raise TypeError(f"words must be integer ids, got {ids.dtype}")
        if ids.numel() and is_eager(ids):
            lowest, highest = (int(value) for value in ids.aminmax())
            if lowest < 0 or highest >= self.num_ids:
                raise ValueError(f"ids of words must lie in [0, {self.num_ids}), got {lowest} to {highest}")
        return ids.long()
