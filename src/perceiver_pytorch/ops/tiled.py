"""Attention over one context by a loop over tiles of its tokens, for graphs that run without this package.

A graph that is exported has PyTorch's own operations alone, so it has to form keys, values and weights. Here it forms
them for a tile of tokens at a time, and joins tiles by their log-sum-exp, so that no array of it is as large as latents
times tokens, nor as tokens times channels.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from perceiver_pytorch._execution import execution
from perceiver_pytorch.ops.context import Context

Attend = Callable[[Tensor, Context, Tensor, Tensor, Tensor | None, float], tuple[Tensor, Tensor]]
"""`perceiver_pytorch.ops.projected.attend_projected`."""

_tile: dict[str, int | None] = {"tokens": None}


@contextlib.contextmanager
def by_tiles(tokens: int) -> Iterator[None]:
    """What is exported within the block attends to so many tokens at a time, wherever a context may have more.

    Raises:
        ValueError: for fewer than 1.
    """
    if tokens < 1:
        raise ValueError(f"a tile must have at least 1 token, got {tokens}")
    before, _tile["tokens"] = _tile["tokens"], tokens
    try:
        yield
    finally:
        _tile["tokens"] = before


def tile_of(context: Context) -> int | None:
    """Tokens of a tile, if a context is to be read by tiles here; else None."""
    tokens = _tile["tokens"]
    if tokens is None or execution(context.data) != "export":
        return None
    from torch.fx.experimental.symbolic_shapes import statically_known_true  # slow to import, and rarely needed

    return None if statically_known_true(context.num_tokens <= tokens) else tokens


def attend_tiles(
    attend: Attend,
    tile: int,
    query: Tensor,
    context: Context,
    key_weight: Tensor,
    value_weight: Tensor,
    norm_weight: Tensor | None,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """What ``attend`` gives for the context, of tiles that it is called for one after another.

    Args:
        attend: attention to one tile.
        tile: tokens of each.
        query, context, key_weight, value_weight, norm_weight, eps: as in `attend`.
    """
    data = context.data.flatten(1, -2)
    mask = torch.ones(data.shape[:2], dtype=torch.bool) if context.mask is None else context.mask.flatten(1)
    optional = (context.code, context.scale, context.offset, context.order, norm_weight)
    # A loop reads what it is handed, no two of which may share memory; keys' and values' weights are parts of one.
    read = [query, data, mask, key_weight.clone(), value_weight.clone(), *(table.clone() for table in context.tables)]
    read += [each for each in optional if each is not None]

    def more(start: Tensor, _output: Tensor, _lse: Tensor, *read: Tensor) -> Tensor:
        return start < read[1].shape[1]

    def step(start: Tensor, output: Tensor, lse: Tensor, *read: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, data, mask, key_weight, value_weight, *others = read
        tables, rest = others[: len(context.tables)], iter(others[len(context.tables) :])
        code, scale, offset, order, norm = (None if each is None else next(rest) for each in optional)
        places = start + torch.arange(tile)
        within, places = places < data.shape[1], places.clamp(max=data.shape[1] - 1)
        positions = _positions(tables, places, data.shape[0])
        seen = mask.index_select(1, places) & within
        part = Context(data.index_select(1, places), positions, code, context.padding, seen, scale, offset, order)
        found, sums = attend(query, part, key_weight, value_weight, norm, eps)
        return start + tile, *_joined(output, lse, found, sums)

    shape = (*query.shape[:3], value_weight.shape[1])
    first = (torch.zeros((), dtype=torch.int64), query.new_zeros(shape), query.new_full(shape[:3], -math.inf))
    _, output, lse = torch.ops.higher_order.while_loop(more, step, first, tuple(read))
    return output, lse


def _positions(tables: Sequence[Tensor], places: Tensor, batch: int) -> tuple[Tensor, ...]:
    """One table with the positions of tokens, by their numbers ``(tile,)``; none of a context without positions."""
    found: list[Tensor] = []
    for axis in reversed(range(len(tables))):  # the last one runs fastest
        length = tables[axis].shape[-2]
        lines = places // length
        found.append(tables[axis].index_select(-2, places - lines * length if axis else places))
        places = lines
    if any(each.dim() == 3 for each in found):
        found = [each if each.dim() == 3 else each.expand(batch, -1, -1) for each in found]
    return (torch.cat(found[::-1], dim=-1),) if found else ()


def _joined(output: Tensor, lse: Tensor, found: Tensor, sums: Tensor) -> tuple[Tensor, Tensor]:
    """Attention over two disjoint sets of tokens, of that over each; -inf and zeros where neither has one."""
    peak = torch.maximum(lse, sums)
    peak = peak.masked_fill(peak == -math.inf, 0.0)
    before, now = (lse - peak).exp(), (sums - peak).exp()
    total = before + now
    share = (now / total.clamp_min(torch.finfo(total.dtype).tiny)).unsqueeze(-1)
    return output + share * (found - output), peak + total.log()
