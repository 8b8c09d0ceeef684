"""Costs: counts times microseconds."""

import math

import pytest
import torch

from ops.test_choose import SHAPES, WAYS, context
from perceiver_pytorch.ops import Context, cost
from perceiver_pytorch.ops.cost import Count
from test_contracts import compare

ON_A_CPU = [name for name in WAYS if name != "triton"]


def costs() -> str:
    """Microseconds of every way over some shapes, without and with a backward pass."""
    shapes = {name: (tokens, rows) for name, (tokens, rows, _) in SHAPES.items()}
    shapes |= {
        "16 channels, 9 features": (context((1000,), 16, 9), 32),
        "17 channels, 8 features": (context((1000,), 17, 8), 32),
        "a series of many channels": (context((1000,), 40, 65), 32),
        "no positions": (Context(torch.zeros(4, 900, 20), padding=3), 7),
    }
    lines = []
    for name, (tokens, rows) in shapes.items():
        lines.append(f"{name}: {tuple(tokens.data.shape)}, {rows} rows")
        for way in ON_A_CPU:
            both = (cost.estimate(WAYS[way], tokens, rows, 64, training=training) for training in (False, True))
            lines.append(f"  {way}: " + ", ".join(f"{microseconds:.6g}" for microseconds in both))
    return "\n".join(lines) + "\n"


def test_estimates_are_what_they_were() -> None:
    compare("costs.txt", costs())


@pytest.mark.parametrize("way", ON_A_CPU)
def test_more_tokens_cost_more_and_training_costs_more(way: str) -> None:
    few, many = context((5, 6), 3), context((50, 60), 3)
    costs = [cost.estimate(WAYS[way], tokens, 4, 8, training=False) for tokens in (few, many)]
    trained = [cost.estimate(WAYS[way], tokens, 4, 8, training=True) for tokens in (few, many)]
    assert 0 < costs[0] < costs[1]
    assert costs[0] < trained[0] < trained[1]


@pytest.mark.parametrize("way", WAYS)
def test_a_way_gives_the_same_counts_for_every_context(way: str) -> None:
    found = [WAYS[way](tokens, 4, 8) for tokens in (context((5, 6), 3), context((500,), 70), context((9,), 1, 0))]
    factors = [[(count.forward, count.training) for count in counts] for counts in found]
    assert factors[0] == factors[1] == factors[2]


def test_the_interpreter_of_gpu_kernels_is_out_of_the_question() -> None:
    assert cost.estimate(WAYS["triton"], context((5, 6), 3), 4, 8, training=False) == math.inf


def test_an_input_array_beyond_the_limit_is_not_formed() -> None:
    large = Context(torch.zeros(1, cost.DENSE_LIMIT // 4, 1))
    for way in ("reference", "projected"):
        assert cost.estimate(WAYS[way], large, 4, 8, training=False) == math.inf
        assert cost.estimate(WAYS[way], large, 3, 8, training=False) < math.inf


def test_sizes_are_counted_for_the_whole_batch() -> None:
    tokens = Context(torch.zeros(3, 4, 5, 2), (torch.zeros(4, 6), torch.zeros(5, 7)), torch.zeros(9))
    assert cost.Size.of(tokens, 8) == (60, 24, 480, 2, 7)
    assert cost.Size.of(Context(torch.zeros(3, 4, 2)), 8) == (12, 24, 96, 2, 0)
    assert cost.DENSE_LIMIT * 4 == 64 << 20  # bytes


def test_estimate_multiplies_and_adds_up_and_ranking_sorts() -> None:
    def counts(context: Context, num_rows: int, inner_dim: int) -> tuple[Count, ...]:
        return Count(num_rows, 2.0, 20.0), Count(inner_dim, 3.0, 1.0)

    tokens = context((5,), 3)
    assert cost.estimate(counts, tokens, 5, 7, training=False) == 31
    assert cost.estimate(counts, tokens, 5, 7, training=True) == 107
    ways = {"ours": counts, "cheaper": lambda *problem: (Count(30, 1.0, 1.0),)}
    assert cost.ranking(ways, tokens, 5, 7, training=False) == ("cheaper", "ours")
    assert cost.ranking(ways, tokens, 5, 1, training=False) == ("ours", "cheaper")
