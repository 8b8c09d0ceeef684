"""Costs: counts times microseconds."""

import math

import pytest
import torch

from ops.test_choose import WAYS, context
from perceiver_pytorch.ops import Context, cost
from perceiver_pytorch.ops.cost import Count

ON_A_CPU = [name for name in WAYS if name != "triton"]


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


def test_estimate_multiplies_and_adds_up_and_ranking_sorts() -> None:
    def counts(context: Context, num_rows: int, inner_dim: int) -> tuple[Count, ...]:
        return Count(num_rows, 2.0, 20.0), Count(inner_dim, 3.0, 1.0)

    tokens = context((5,), 3)
    assert cost.estimate(counts, tokens, 5, 7, training=False) == 31
    assert cost.estimate(counts, tokens, 5, 7, training=True) == 107
    ways = {"ours": counts, "cheaper": lambda *problem: (Count(30, 1.0, 1.0),)}
    assert cost.ranking(ways, tokens, 5, 7, training=False) == ("cheaper", "ours")
    assert cost.ranking(ways, tokens, 5, 1, training=False) == ("ours", "cheaper")
