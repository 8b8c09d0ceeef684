"""Decoding a grid of positions without building its queries.

A query that is a structured token, ``x_n = [data_n | table_0[i] | table_1[j] | .. | code]``, is to its decoder what a
token is to a cross-attend, with the parts exchanged: with ``x̂ = (x - μ) · r`` and latents' keys ``k_m``,

    score_nm = (W_q (γ x̂_n + β) + b_q) · k_m = r_n (row_m[data] · data_n + Σ_a F_a[pos_a(n), m]) + const_m
               where row_m = γ ∘ (W_qᵀ k_m), centred over its channels, and F_a = table_a · row[axis a]

so that neither queries nor their projections are formed. One head alone: with several, rows would be one per latent and
head.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from perceiver_pytorch._execution import is_eager
from perceiver_pytorch.nn.block import AttentionBlock
from perceiver_pytorch.nn.feed_forward import WidenedNet
from perceiver_pytorch.nn.linear import Linear
from perceiver_pytorch.nn.plain import is_plain
from perceiver_pytorch.ops import Context
from perceiver_pytorch.ops.precision import full_precision

CHUNK_PAIRS = 1 << 20
"""(query, latent) pairs of a sample that are worked on at a time: 4 MB of scores, which stay in a core's cache."""


@dataclass(frozen=True)
class GridQueries:
    """Queries of a grid, by their parts; channels in the order of the decoder's weights.

    Args:
        lengths: of the axes.
        tables: one per axis, ``(length, features)``.
        order: see `Context.order`; None: one part after the other.
        data: ``(batch, positions, channels)``, the axes flattened, or None.
        code: ``(channels,)``, the same for every query, or None.
    """

    lengths: tuple[int, ...]
    tables: tuple[Tensor, ...]
    order: Tensor | None = None
    data: Tensor | None = None
    code: Tensor | None = None

    @classmethod
    def of(cls, context: Context) -> "GridQueries":
        """The tokens of a context as queries."""
        return cls(context.axes, context.tables, context.order, context.data.flatten(1, -2), context.code)

    def at(self, data: Tensor | None, places: Sequence[Tensor]) -> Tensor:
        """The queries at ``places``, one index tensor per axis, with ``data``: (1 or batch, queries, channels)."""
        parts = [table[place].unsqueeze(0) for table, place in zip(self.tables, places, strict=True)]
        parts += [] if self.code is None else [self.code.expand(1, places[0].shape[0], -1)]
        if data is not None:
            parts = [data, *(part.expand(data.shape[0], -1, -1).to(data.dtype) for part in parts)]
        array = torch.cat(parts, -1)
        return array if self.order is None else array[..., self.order.argsort()]

    @property
    def widths(self) -> list[int]:
        """Channels of data, of each table, and of the code."""
        data = 0 if self.data is None else self.data.shape[-1]
        return [data, *(table.shape[-1] for table in self.tables), 0 if self.code is None else len(self.code)]


class _Scores:
    """What scores of all queries are worked out from, for the keys of a block's latents."""

    def __init__(self, block: AttentionBlock, queries: GridQueries, keys: Tensor) -> None:
        dtype = torch.promote_types(keys.dtype, torch.float32)
        weight, norm = block.to_q.weight.to(dtype), block.norm
        scaled = keys.to(dtype) * keys.shape[-1] ** -0.5
        rows = scaled @ weight * norm.weight.to(dtype)  # (batch, latents, channels)
        rows = rows - rows.mean(-1, keepdim=True)
        shift = weight @ norm.bias.to(dtype)
        shift = shift if block.to_q.bias is None else shift + block.to_q.bias.to(dtype)
        self.constant = (scaled @ shift).unsqueeze(1)
        rows = rows if queries.order is None else rows[..., queries.order]
        data, *by_axis, code = rows.split(queries.widths, -1)
        self.data_rows = data.mT
        # (batch, length of the axis, latents); what the code adds belongs to every coordinate of the first.
        self.by_axis = [table.to(dtype) @ part.mT for table, part in zip(queries.tables, by_axis, strict=True)]
        if queries.code is not None:
            self.by_axis[0] = self.by_axis[0] + (code @ queries.code.to(dtype)).unsqueeze(1)
        self.queries, self.eps = queries, norm.eps
        # Sums over a query's channels in float64: a variance is what is left of two of them.
        self.sums = [_sums(table) for table in queries.tables]
        self.code_sums = None if queries.code is None else _sums(queries.code)

    def of(self, data: Tensor | None, places: Sequence[Tensor]) -> Tensor:
        """Scores (batch, queries, latents) of the queries at ``places``, one index tensor per axis."""
        scores = sum(part[:, place] for part, place in zip(self.by_axis, places, strict=True))
        if data is not None:
            scores = torch.baddbmm(scores, data.to(self.data_rows.dtype), self.data_rows)
        return torch.addcmul(self.constant, scores, self._rstd(data, places).to(scores.dtype))

    def _rstd(self, data: Tensor | None, places: Sequence[Tensor]) -> Tensor:
        """Inverse deviations (1 or batch, queries, 1) over a query's channels."""
        sums = sum(part[place] for part, place in zip(self.sums, places, strict=True))
        if data is not None:
            sums = sums + _sums(data)
        if self.code_sums is not None:
            sums = sums + self.code_sums
        assert isinstance(sums, Tensor)
        mean, squares = (sums / sum(self.queries.widths)).split(1, -1)
        rstd = (squares - mean.square() + self.eps).rsqrt()
        return rstd if rstd.dim() == 3 else rstd.unsqueeze(0)


def decode_grid(
    block: AttentionBlock,
    queries: GridQueries,
    latents: Tensor,
    head: Sequence[nn.Module],
    points: Tensor | None = None,
    *,
    factor: float = 1.0,
) -> Tensor:
    """``head(block(queries, latents)) * factor`` for the queries of a grid.

    Args:
        block: attention from queries to latents with one head, without query residual.
        queries: the grid.
        latents: ``(batch, latents, channels)``.
        head: the last linear layers, one after the other.
        points: ``(number,)`` int64: positions to decode, numbered as in the flattened grid; default: all.
        factor: of the result.

    Returns:
        ``(batch, points, outputs)``. Memory is that of a chunk of queries besides; in training, chunks are computed
        again in the backward pass. Queries are formed, a chunk at a time, only where a part is not plain
        (`perceiver_pytorch.nn.plain`).

    Raises:
        ValueError: for a block of another form.
    """
    if block.heads != 1 or block.query_residual or block.norm_context is None:
        raise ValueError("decode_grid takes a cross-attend with one head and without query residual")
    decode = (_by_parts if _is_plain(block, head) else _by_calls)(block, queries, latents, head, factor)
    positions = _positions(queries, points, latents.device)
    step = max(1, CHUNK_PAIRS // latents.shape[1])
    parts: list[Tensor] = []
    for places in zip(*(place.split(step) for place in torch.unravel_index(positions, queries.lengths)), strict=True):
        start = len(parts) * step
        data = None
        if queries.data is not None:
            chunk = slice(start, start + step) if points is None else positions[start : start + step]
            data = queries.data[:, chunk]

        if torch.is_grad_enabled() and is_eager(latents):
            parts.append(checkpoint(decode, data, places, use_reentrant=False))
        else:
            parts.append(decode(data, places))
    return torch.cat(parts, dim=1)


Decode = Callable[[Tensor | None, Sequence[Tensor]], Tensor]
"""Results (batch, points, outputs) for data and places of a chunk of queries."""


def _by_parts(
    block: AttentionBlock, queries: GridQueries, latents: Tensor, head: Sequence[nn.Module], factor: float
) -> Decode:
    """Decodes without queries."""
    assert block.norm_context is not None
    normed = block.norm_context(latents)
    keys = block.to_k(normed)
    with full_precision(keys.device):
        scores = _Scores(block, queries, keys)
    return partial(_decode, scores, _Values(block, block.to_v(normed), _as_one(head, factor)))


def _by_calls(
    block: AttentionBlock, queries: GridQueries, latents: Tensor, head: Sequence[nn.Module], factor: float
) -> Decode:
    """Decodes a chunk of formed queries as everybody does."""

    def decode(data: Tensor | None, places: Sequence[Tensor]) -> Tensor:
        x = block(queries.at(data, places), latents)
        for layer in head:
            x = layer(x)
        return x * factor

    return decode


class _Values:
    """What becomes of attention: weighted values, feed-forward, and the last linear layer."""

    def __init__(self, block: AttentionBlock, values: Tensor, head: tuple[Tensor, Tensor]) -> None:
        self.norm = block.feed_forward_norm
        self.values, self.to_out = values, block.to_out
        self.project: Callable[[Tensor], Tensor] = block.to_out
        if block.to_out.weight.shape[0] <= values.shape[-1]:
            # Narrower after the projection: weights sum up to 1, so values may be projected first.
            self.values, self.project = block.to_out(values), nn.Identity()
        self.weight, self.bias = head
        feed_forward = block.feed_forward
        self.inner = None if feed_forward is None else feed_forward.widened
        if feed_forward is not None:
            # The last two linear layers are one.
            last = feed_forward[-1]
            assert isinstance(last, nn.Linear)
            self.bias = self.bias + self.weight @ last.bias
            self.inner_weight = self.weight @ last.weight

    def of(self, attention: Tensor) -> Tensor:
        x = self.project(attention @ self.values)
        out = F.linear(x, self.weight, self.bias)
        if self.inner is None or self.norm is None:
            return out
        return out + F.linear(self.inner(self.norm(x)), self.inner_weight)


def _decode(scores: _Scores, values: _Values, data: Tensor | None, places: Sequence[Tensor]) -> Tensor:
    with full_precision(scores.constant.device):  # rounded to half precision, scores would be far off
        attention = scores.of(data, places).softmax(-1)
    return values.of(attention.to(values.values.dtype))


def _is_plain(block: AttentionBlock, head: Sequence[nn.Module]) -> bool:
    """Whether the weights may be read of which scores and outputs are worked out."""
    feed_forward = block.feed_forward
    return (
        is_plain(block, AttentionBlock)
        and is_plain(block.norm, nn.LayerNorm)
        and is_plain(block.to_q, Linear)
        and (feed_forward is None or (is_plain(feed_forward, WidenedNet) and is_plain(feed_forward[-1], Linear)))
        and all(is_plain(layer, nn.Linear) for layer in head)
    )


def _as_one(head: Sequence[nn.Module], factor: float) -> tuple[Tensor, Tensor]:
    """Weight and bias of linear layers, one after the other, times ``factor``."""
    first, *rest = (layer for layer in head if isinstance(layer, nn.Linear))
    weight: Tensor = first.weight
    bias: Tensor = first.bias
    for layer in rest:
        weight, bias = layer.weight @ weight, layer.weight @ bias + layer.bias
    return weight * factor, bias * factor


def _positions(queries: GridQueries, points: Tensor | None, device: torch.device) -> Tensor:
    number = torch.Size(queries.lengths).numel()
    if points is None:
        return torch.arange(number, device=device)
    if points.dim() != 1 or points.dtype != torch.int64:
        raise ValueError(f"points must be (number,) int64, got {tuple(points.shape)} {points.dtype}")
    if points.numel() and is_eager(points) and not 0 <= int(points.min()) <= int(points.max()) < number:
        raise ValueError(f"points must lie in [0, {number}), got {int(points.min())} to {int(points.max())}")
    return points.to(device)


def _sums(values: Tensor) -> Tensor:
    """Sum and sum of squares over the last dimension, (.., 2) float64."""
    values = values.double()
    return torch.stack([values.sum(-1), values.square().sum(-1)], -1)
