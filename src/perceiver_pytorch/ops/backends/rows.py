"""What the compiled backend's loops read of rows, and what becomes of their sums.

Few rows go through compiled loops of their own (`row_loops`), many through PyTorch's matrix products, and any through
these while the loops are being compiled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from perceiver_pytorch.ops import threads
from perceiver_pytorch.ops.backends import compiling
from perceiver_pytorch.ops.backends.grid import Grid, round_up
from perceiver_pytorch.ops.backends.instead import NotCompiledError
from perceiver_pytorch.ops.structured import TINY, Channels, centred, weighted_sum

SHARE = 1 << 17
"""Multiply-adds that are worth waking a thread for."""


class Spread(NamedTuple):
    """Rows as the loops read them.

    Attributes:
        rows: (batch, R, C), centred.
        norm: the largest one's.
        scores: coefficients of the data, inner and outer scores: the parts of ``row · token``.
    """

    rows: Tensor
    norm: float
    scores: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Sums:
    """What the loops sum up, per part.

    Attributes:
        data: (batch, parts, R, c + 1) float64: weights times raw channels, and the weights.
        inner: (batch, line parts, R, padded) float32: weights times r by position on the inner axis.
        outer: (batch, parts, R, ΣL_a) float64: the same by coordinate of the outer axes.
    """

    data: Tensor
    inner: Tensor
    outer: Tensor

    @classmethod
    def zeros(cls, batch: int, num_rows: int, channels: int, grid: Grid, by_position: bool = True) -> "Sums":
        return cls(
            torch.zeros(batch, grid.parts, num_rows, channels + 1, dtype=torch.float64),
            torch.zeros(batch, grid.line_parts, num_rows, grid.padded if by_position else 0, dtype=torch.float32),
            torch.zeros(batch, grid.parts, num_rows, max(1, sum(grid.outer)), dtype=torch.float64),
        )

    @cached_property
    def joined(self) -> tuple[Tensor, ...]:
        """The same summed over all parts, half of them onto the other half again and again: what was there is gone."""
        for values in (self.data, self.inner, self.outer):
            num_parts = values.shape[1]
            while num_parts > 1:
                kept = (num_parts + 1) // 2
                values[:, : num_parts - kept] += values[:, kept:num_parts]
                num_parts = kept
        return self.data[:, 0], self.inner[:, 0], self.outer[:, 0]


class RowParts:
    """Takes rows apart by the parts of a context's tokens, and puts together what they collected.

    Args:
        channels: which channels are what.
        near: (1 or batch, padded, P) features of the inner axis; by_feature: (1 or batch, P, padded), the same.
        outer: tables (1 or batch, L, P) of the other axes, or one without features.
        far: these side by side, and the code; see `side_by_side`.
        by_position: score and sum up by position on the inner axis; else its features are channels of the data.
    """

    def __init__(
        self,
        channels: Channels,
        near: Tensor,
        by_feature: Tensor,
        outer: Sequence[Tensor],
        far: Tensor,
        by_position: bool,
    ) -> None:
        self.channels, self.near, self.far, self.by_position = channels, near, far, by_position
        places = np.split(np.arange(sum(channels.sizes), dtype=np.int64), np.cumsum(channels.sizes)[:-1])
        near_at, far_at = (np.concatenate([places[i] for i in parts]) for parts in (channels.near, channels.far))
        padded = far.new_zeros(far.shape[0], far.shape[2], round_up(far.shape[1]))
        padded[..., : far.shape[1]] = far.mT
        spans, begin = [], 0
        for table in outer:
            spans += [(begin, begin + table.shape[1])] * table.shape[2]
            begin += table.shape[1]
        spans += [(0, outer[0].shape[1])] * (far.shape[2] - len(spans))
        near_spans = [(0, near.shape[1])] * near.shape[2]
        self._tables = (
            near_at, by_feature.numpy(), np.array(near_spans, np.int64).reshape(-1, 2),
            far_at, padded.numpy(), np.array(spans, np.int64).reshape(-1, 2),
        )  # fmt: skip
        self._work = sum(end - start for start, end in spans) + (near[0].numel() if by_position else 0)

    def spread(self, rows: Tensor, unit: float = 1.0) -> Spread:
        """Rows (batch, R, C) in float32; scores are in units of ``1 / unit``."""
        if not self._are_few(rows):
            return self._spread_by_products(centred(rows), unit)
        rows, (batch, num_rows, _) = rows.contiguous(), rows.shape
        near_at, near, _, _, far, _ = self._tables
        num_data = self.channels.sizes[0] + (0 if self.by_position else len(near_at))
        scores = tuple(
            np.empty((batch, num_rows, size), np.float32)
            for size in (num_data, near.shape[2] if self.by_position else 0, far.shape[2])
        )
        result, squares = torch.empty_like(rows), np.empty((batch, num_rows))
        self._run("spread", batch * num_rows, rows.numpy(), unit, *self._tables, result.numpy(), squares, *scores)
        return Spread(result, float(squares.max()) ** 0.5, scores)

    def _spread_by_products(self, rows: Tensor, unit: float) -> Spread:
        norm = rows.norm(dim=-1).amax().item()
        data, near, far = self.channels.split(rows * unit)
        far = far @ self.far.mT
        if self.by_position:
            return Spread(rows, norm, arrays(data, near @ self.near.mT, far))
        return Spread(rows, norm, arrays(torch.cat([data, near], -1), data.new_zeros(*data.shape[:2], 0), far))

    def collect(self, sums: Sums, divided: bool = False) -> tuple[Tensor, Tensor]:
        """Sums of weights (batch, R) in float64, and ``Σ_m w_m (token_m - its mean)`` as (batch, R, C).

        Args:
            sums: of all parts.
            divided: divide by the sum of weights.
        """
        batch, _, num_rows, _ = sums.data.shape
        mixed = torch.empty(batch, num_rows, sum(self.channels.sizes), dtype=torch.float32)
        if not self._are_few(mixed):
            return self._collect_by_products(sums, divided)
        total = torch.empty(batch, num_rows, dtype=torch.float64)
        self._run(
            "collect", batch * num_rows, *arrays(sums.data, sums.inner, sums.outer), TINY if divided else -1.0,
            *self._tables, total.numpy(), mixed.numpy(),
        )  # fmt: skip
        return total, mixed

    def _collect_by_products(self, sums: Sums, divided: bool) -> tuple[Tensor, Tensor]:
        data, inner, outer = sums.joined
        total, data = data[..., -1], data[..., :-1].float()
        if self.by_position:
            near = weighted_sum(inner, self.near)
        else:
            data, near = data.split([self.channels.sizes[0], self.near.shape[-1]], -1)
        mixed = centred(self.channels.merge(data, near, outer.float() @ self.far))
        return total, mixed / total.clamp_min(TINY).float().unsqueeze(-1) if divided else mixed

    def _are_few(self, rows: Tensor) -> bool:
        """Whether rows go through the loops: there is little to multiply, and both loops are compiled."""
        if rows.shape[0] * rows.shape[1] * self._work > threads.SMALL:
            return False
        found = [_is_compiled(name, arguments) for name, arguments in _LIKE.items()]  # each one asked for
        return all(found)

    def _run(self, name: str, num_rows: int, *arguments: Any) -> None:
        from perceiver_pytorch.ops.backends import row_loops

        room = row_loops.room(sum(self.channels.sizes), self.near.shape[1], self._tables[4].shape[2])
        num_parts = min(num_rows, 1 + num_rows * self._work // SHARE)
        threads.run(getattr(row_loops, name), *arguments, num_parts=num_parts, room=room)


def _is_compiled(name: str, arguments: tuple[Any, ...]) -> bool:
    try:
        compiling.ensure((name,), f"row_loops.{name}", (threads.counter(), threads.memory(0), *arguments), behind=True)
    except NotCompiledError:
        return False
    return True


def _none(dtype: type, dims: int) -> np.ndarray:
    return np.empty((0,) * dims, dtype)


_FEATURES = _none(np.int64, 1), _none(np.float32, 3), _none(np.int64, 2)
_LIKE = {
    "spread": (
        _none(np.float32, 3), 1.0, *_FEATURES, *_FEATURES, _none(np.float32, 3), _none(np.float64, 2),
        *[_none(np.float32, 3)] * 3,
    ),
    "collect": (
        _none(np.float64, 4), _none(np.float32, 4), _none(np.float64, 4), 1.0, *_FEATURES, *_FEATURES,
        _none(np.float64, 2), _none(np.float32, 3),
    ),
}  # fmt: skip
"""Arguments of the same types as those of each loop, after the counter."""


def arrays(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    """As the loops read them."""
    return tuple(tensor.contiguous().numpy() for tensor in tensors)


def side_by_side(tables: Sequence[Tensor], code: Tensor) -> Tensor:
    """(S, ΣL_a, ΣP_a + k): each table at rows and columns of its own, and the code at the rows of the first.

    A line has one row of each table, hence everything that its tokens have in common once.
    """
    samples, lengths, features = (
        max(table.shape[0] for table in tables), [t.shape[1] for t in tables], [t.shape[2] for t in tables]
    )  # fmt: skip
    result = torch.zeros(samples, sum(lengths), sum(features) + len(code), dtype=torch.float32)
    row = column = 0
    for table, length, width in zip(tables, lengths, features, strict=True):
        result[:, row : row + length, column : column + width] = table
        row, column = row + length, column + width
    result[:, : lengths[0], column:] = code
    return result
