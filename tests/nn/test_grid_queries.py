"""Decoding a grid of positions: against the block that gets the queries as an array."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from perceiver_pytorch.nn import grid_queries
from perceiver_pytorch.nn.block import AttentionBlock
from perceiver_pytorch.nn.grid_queries import GridQueries, decode_grid

LENGTHS = (3, 4)


def problem(
    *, data: int = 5, code: int = 2, ordered: bool = True, outputs: int = 3, v_dim: int = 20
) -> tuple[AttentionBlock, GridQueries, Tensor, nn.Linear]:
    tables = tuple(torch.randn(length, 3, dtype=torch.float64) for length in LENGTHS)
    width = data + 6 + code
    queries = GridQueries(
        LENGTHS,
        tables,
        torch.randperm(width) if ordered else None,
        torch.randn(2, 12, data, dtype=torch.float64).requires_grad_() if data else None,
        torch.randn(code, dtype=torch.float64).requires_grad_() if code else None,
    )
    block = AttentionBlock(width, 7, qk_dim=6, v_dim=v_dim, output_dim=width, query_residual=False, widening_factor=2)
    for name, parameter in block.double().named_parameters():
        nn.init.normal_(parameter, 1.0 if "norm" in name and "weight" in name else 0.0, 0.5)
    return block, queries, torch.randn(2, 6, 7, dtype=torch.float64), nn.Linear(width, outputs).double()


def dense(queries: GridQueries) -> Tensor:
    """The queries as an array (2, positions, channels), put together token by token."""
    rows = []
    for sample in range(2):
        for n, place in enumerate(itertools.product(*map(range, queries.lengths))):
            parts = [table[i] for table, i in zip(queries.tables, place, strict=True)]
            parts = parts if queries.data is None else [queries.data[sample, n], *parts]
            row = torch.cat(parts if queries.code is None else [*parts, queries.code])
            rows.append(row if queries.order is None else torch.zeros_like(row).index_put((queries.order,), row))
    return torch.stack(rows).unflatten(0, (2, -1))


@pytest.mark.parametrize("chunk", [1, 20, 1 << 20])
@pytest.mark.parametrize(
    "options",
    [{}, {"data": 0}, {"code": 0}, {"data": 0, "code": 0, "ordered": False}, {"v_dim": 4}, {"outputs": 30}],
    ids=str,
)
def test_outputs_and_gradients_are_those_of_the_block(
    options: dict[str, int], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid_queries, "CHUNK_PAIRS", chunk)
    block, queries, latents, head = problem(**options)
    parameters = [*block.parameters(), *head.parameters(), latents.requires_grad_()]
    parameters += [value for value in (queries.data, queries.code) if value is not None]
    expected = head(block(dense(queries), latents))
    actual = decode_grid(block, queries, latents, [head])
    torch.testing.assert_close(actual, expected)
    weights = torch.randn_like(expected)
    wanted = torch.autograd.grad((expected * weights).sum(), parameters, allow_unused=True)
    given = torch.autograd.grad((actual * weights).sum(), parameters, allow_unused=True)
    for a, b in zip(given, wanted, strict=True):
        torch.testing.assert_close(a if a is not None else torch.zeros_like(b), b)


def test_the_last_layers_are_one_and_take_a_factor() -> None:
    block, queries, latents, head = problem()
    layers = [head, nn.Linear(3, 2).double()]
    expected = layers[1](head(block(dense(queries), latents))) * 0.5
    torch.testing.assert_close(decode_grid(block, queries, latents, layers, factor=0.5), expected)


@pytest.mark.parametrize("name", ["block", "norm", "to_q", "feed_forward", "feed_forward.3", "head"])
@pytest.mark.parametrize("options", [{}, {"data": 0}], ids=str)
def test_a_part_that_somebody_follows_is_called(name: str, options: dict[str, int]) -> None:
    block, queries, latents, head = problem(**options)
    part = {"block": block, "head": head}.get(name) or block.get_submodule(name)
    part.register_forward_hook(lambda module, given, output: 2 * output)
    expected = head(block(dense(queries), latents)) * 0.5
    torch.testing.assert_close(decode_grid(block, queries, latents, [head], factor=0.5), expected)


def test_points_are_decoded_in_their_order() -> None:
    block, queries, latents, head = problem()
    everything = decode_grid(block, queries, latents, [head])
    points = torch.tensor([11, 0, 4, 4])
    some = decode_grid(block, queries, latents, [head], points)
    torch.testing.assert_close(some, everything[:, points])


def test_what_it_does_not_take() -> None:
    block, queries, latents, head = problem()
    for points in (torch.tensor([0, 12]), torch.tensor([-1])):
        with pytest.raises(ValueError, match=r"points must lie in \[0, 12\)"):
            decode_grid(block, queries, latents, [head], points)
    with pytest.raises(ValueError, match=r"points must be \(number,\) int64"):
        decode_grid(block, queries, latents, [head], torch.tensor([[0.5]]))
    with pytest.raises(ValueError, match="one head and without query residual"):
        decode_grid(AttentionBlock(13, 7).double(), queries, latents, [head])


def test_it_needs_little_memory_without_gradients() -> None:
    """Scores of all queries would be 4096 x 4096 numbers, 64 MB."""
    block = AttentionBlock(6, 4, qk_dim=4, v_dim=4, output_dim=6, query_residual=False)
    queries = GridQueries((64, 64), (torch.randn(64, 3), torch.randn(64, 3)))
    seen: list[int] = []
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "softmax", lambda x, dim: seen.append(x.numel()) or torch.softmax(x, dim))
        decode_grid(block, queries, torch.randn(1, 4096, 4), [nn.Linear(6, 2)])
    assert max(seen) <= grid_queries.CHUNK_PAIRS
