"""The modules that make queries as `perceiver_pytorch.nn.queries` describes them, for any choice of places."""

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from perceiver_pytorch._execution import is_eager
from perceiver_pytorch.nn.fourier import position_table
from perceiver_pytorch.ops import Context


class QueryArray(nn.Module):
    """Makes queries for any choice of places.

    Attributes:
        dim: channels of a query.
    """

    dim: int

    def axes(self, contexts: Mapping[str, Context]) -> tuple[int, ...]:
        """Lengths of the grid's axes, for a batch of these contexts."""
        raise NotImplementedError

    def forward(
        self, indices: Int[Tensor, "*batch queries"], contexts: Mapping[str, Context]
    ) -> Float[Tensor, "*batch_of_result queries dim"]:
        """The queries at some places.

        Args:
            indices: ``(queries,)`` or ``(batch, queries)``.
            contexts: what the batch holds, by modality.

        Returns:
            ``(queries, dim)``, or ``(batch, queries, dim)`` where they differ from sample to sample.
        """
        raise NotImplementedError


class LearnedQueryArray(QueryArray):
    """Learned vectors, one for each place of a grid."""

    def __init__(self, dim: int, axes: Sequence[int]) -> None:
        super().__init__()
        self.dim = dim
        self._axes = tuple(axes)
        self.array = nn.Parameter(nn.init.trunc_normal_(torch.empty(math.prod(axes), dim), std=0.02))

    def axes(self, contexts: Mapping[str, Context]) -> tuple[int, ...]:
        return self._axes

    def forward(self, indices: Tensor, contexts: Mapping[str, Context]) -> Tensor:
        return self.array[indices]


class FourierQueryArray(QueryArray):
    """Fourier features of equally spaced positions on a grid; arguments as of `position_table`, rates one per axis."""

    def __init__(
        self, axes: Sequence[int], rates: Sequence[float], num_bands: int, freq_base: float, freq_scale: str
    ) -> None:
        super().__init__()
        self._axes, self.rates = tuple(axes), tuple(rates)
        self.bands = num_bands, freq_base, freq_scale
        self.dim = len(axes) * (2 * num_bands + 1)

    def axes(self, contexts: Mapping[str, Context]) -> tuple[int, ...]:
        return self._axes

    def forward(self, indices: Tensor, contexts: Mapping[str, Context]) -> Tensor:
        tables = [
            position_table(length, rate, *self.bands, indices.device)
            for length, rate in zip(self._axes, self.rates, strict=True)
        ]
        return torch.cat([pick(t, i) for t, i in zip(tables, places(indices, self._axes), strict=True)], -1)


class InputQueryArray(QueryArray):
    """The data, the positions or both of the tokens of an input modality.

    Args:
        modality: its name.
        data_dim, position_dim: channels of both; 0: left out.
    """

    def __init__(self, modality: str, data_dim: int, position_dim: int) -> None:
        super().__init__()
        self.modality = modality
        self.data_dim, self.position_dim = data_dim, position_dim
        self.dim = data_dim + position_dim

    def axes(self, contexts: Mapping[str, Context]) -> tuple[int, ...]:
        return self._context(contexts).axes

    def forward(self, indices: Tensor, contexts: Mapping[str, Context]) -> Tensor:
        context = self._context(contexts)
        parts = []
        if self.data_dim:
            parts.append(_data_at(context, indices))
        if self.position_dim:
            at = places(indices, context.axes)
            parts += [pick(table, at[axis]) for axis, table in enumerate(context.tables)]
        if any(part.dim() == 3 for part in parts):
            batch = context.data.shape[0]
            parts = [part if part.dim() == 3 else part.expand(batch, -1, -1) for part in parts]
        dtype = parts[0].dtype
        return torch.cat([part.to(dtype) for part in parts], -1)

    def _context(self, contexts: Mapping[str, Context]) -> Context:
        if self.modality not in contexts:
            raise ValueError(
                f"queries are made of the input {self.modality!r}, which this batch lacks, or has in pieces; "
                "give it as a whole, or queries="
            )
        return contexts[self.modality]


class GivenQueryArray(QueryArray):
    """Queries that the caller brings along: there is nothing to make."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def axes(self, contexts: Mapping[str, Context]) -> tuple[int, ...]:
        raise ValueError(
            "an output of GivenQueries needs queries=(batch, queries, dim); return_embeddings=True gives the latents"
        )


class CodedQueries(nn.Module):
    """Queries of one output, joined channel by channel and padded with a learned code to a decoder's width.

    The code tells one output's queries from another's, as the padding of Perceiver IO's multi-modal decoder does
    (appendix H).

    Args:
        arrays: what a query is made of; all on the same grid.
        width: channels of the decoder's queries, at least those of the arrays.
    """

    def __init__(self, arrays: Sequence[QueryArray], width: int) -> None:
        super().__init__()
        self.arrays = nn.ModuleList(arrays)
        self.dim = sum(array.dim for array in arrays)
        missing = width - self.dim
        self.code = nn.Parameter(nn.init.trunc_normal_(torch.empty(missing), std=0.02)) if missing else None

    def axes(self, contexts: Mapping[str, Context]) -> tuple[int, ...]:
        """Lengths of the grid's axes, for a batch of these contexts."""
        axes = [array.axes(contexts) for array in self._arrays()]
        if any(other != axes[0] for other in axes):
            raise ValueError(f"queries joined channel by channel must have the same axes, got {axes}")
        return axes[0]

    def at(
        self, indices: Int[Tensor, "*batch queries"], contexts: Mapping[str, Context]
    ) -> Float[Tensor, "batch queries dim"]:
        """The queries at ``indices`` without their code; a batch of one where all samples have the same."""
        parts = [array(indices, contexts) for array in self._arrays()]
        parts = [part if part.dim() == 3 else part.unsqueeze(0) for part in parts]
        batch = max(part.shape[0] for part in parts)
        return torch.cat([part.expand(batch, -1, -1) for part in parts], -1)

    def forward(self, queries: Float[Tensor, "batch queries dim"]) -> Float[Tensor, "batch queries width"]:
        """Adds the code."""
        if self.code is None:
            return queries
        code = self.code.to(queries.dtype).expand(*queries.shape[:-1], -1)
        return torch.cat([queries, code], -1)

    def _arrays(self) -> list[QueryArray]:
        return list(self.arrays)  # type: ignore[arg-type]


def places(indices: Int[Tensor, "*shape"], axes: Sequence[int]) -> list[Int[Tensor, "*shape"]]:
    """Coordinates along each axis of flat row-major indices."""
    found = []
    for length in reversed(axes):
        outer = indices // length
        found.append(indices - outer * length)  # ONNX has no remainder by a symbolic length
        indices = outer
    return found[::-1]


def pick(values: Shaped[Tensor, "*batch length channels"], indices: Int[Tensor, "*lead queries"]) -> Tensor:
    """``values`` at ``indices``: either may be the same for the whole batch or have a batch dimension."""
    if values.dim() == 2:
        return values[indices]
    if indices.dim() == 1:
        return values[:, indices]
    return values.gather(1, indices.unsqueeze(-1).expand(-1, -1, values.shape[-1]))


def take(values: Shaped[Tensor, "batch *axes channels"], indices: Int[Tensor, "*lead queries"]) -> Tensor:
    """What ``(batch, *axes, channels)`` holds at flat indices, ``(batch, queries, channels)``: the targets of a
    sub-sampled output.
    """
    return pick(values.flatten(1, -2), indices)


def random_indices(axes: Sequence[int], count: int, device: torch.device | None = None) -> Int[Tensor, " count"]:
    """``count`` different places of a grid, by chance: what to decode of a large output in a training step."""
    return torch.randperm(math.prod(axes), device=device)[:count]


def check_queries(name: str, queries: Tensor, batch: int, dim: int) -> Tensor:
    """What a caller gives for output ``name``, as queries ``(1 or batch, queries, dim)``, if it is that."""
    array = queries.unsqueeze(0) if queries.dim() == 2 else queries
    if array.dim() != 3 or array.shape[0] not in (1, batch) or array.shape[2] != dim:
        raise ValueError(
            f"queries[{name!r}] must be (batch={batch}, queries, dim={dim}) or (queries, {dim}), got "
            f"{tuple(queries.shape)}"
        )
    if not array.is_floating_point():
        raise TypeError(f"queries[{name!r}] must be of a floating-point dtype, got {queries.dtype}")
    return array


def check_indices(name: str, indices: Tensor, batch: int, num_queries: int) -> Tensor:
    """``indices``, if they are places of a grid of ``num_queries`` (only checked where values are known)."""
    if indices.dtype != torch.int64:
        raise TypeError(f"indices[{name!r}] must be int64, got {indices.dtype}")
    if indices.dim() not in (1, 2) or (indices.dim() == 2 and indices.shape[0] != batch):
        raise ValueError(
            f"indices[{name!r}] must be (queries,) or (batch={batch}, queries), got {tuple(indices.shape)}"
        )
    if not is_eager(indices):
        return indices
    wrong = (indices < 0) | (indices >= num_queries)
    if wrong.any():
        raise ValueError(f"indices[{name!r}] must lie in [0, {num_queries}), got {int(indices[wrong][0])}")
    return indices


def _data_at(context: Context, indices: Tensor) -> Tensor:
    """Channels of the tokens at ``indices``, as a cross-attend reads them; zeros for masked tokens."""
    data = take(context.data, indices)
    data = data.to(torch.promote_types(data.dtype, torch.float32))
    if context.scale is not None:
        data = data * context.scale
    if context.offset is not None:
        data = data + context.offset
    if context.mask is None:
        return data
    return data.masked_fill(~take(context.mask.unsqueeze(-1), indices), 0.0)
