"""Shapley values against their definition: the mean over all orders."""

import itertools

import numpy as np
import pytest
import torch

from explain_helpers import rich
from perceiver_pytorch.explain.shapley import exact, sampled, subsets, worth, worth_in_row
from perceiver_pytorch.explain.subject import Question, present


def game(players, seed=0):
    rng = np.random.default_rng(seed)
    return {each: float(rng.normal()) for each in subsets(players)}


def by_definition(players, value):
    orders = list(itertools.permutations(players))
    return {
        player: np.mean(
            [value[frozenset(o[: o.index(player) + 1])] - value[frozenset(o[: o.index(player)])] for o in orders]
        )
        for player in players
    }


@pytest.mark.parametrize("count", [1, 2, 4])
def test_exact_values_are_the_mean_over_all_orders_and_add_up(count):
    players = "abcd"[:count]
    value = game(players)
    found = exact(players, value)
    assert found.values == pytest.approx(by_definition(players, value))
    assert sum(found.values.values()) == pytest.approx(found.whole - found.nothing)
    assert not found.errors


def test_who_adds_nothing_is_worth_nothing_and_equals_are_worth_the_same():
    value = {each: float(len(each - {"c"})) ** 2 for each in subsets("abc")}
    found = exact("abc", value).values
    assert found["c"] == 0
    assert found["a"] == found["b"] == 2


def test_values_from_random_orders_are_near_the_exact_ones_by_their_errors():
    players = "abcdefg"
    value = game(players)
    found, true = sampled(players, lambda sets: [value[each] for each in sets], orders=64), exact(players, value)
    assert sum(found.values.values()) == pytest.approx(true.whole - true.nothing)
    apart = [abs(found.values[p] - true.values[p]) / found.errors[p] for p in players]
    assert max(apart) < 4
    assert np.mean(apart) < 1.5
    assert found.orders == 64


def test_up_to_six_are_exact_and_more_are_sampled():
    asked = []

    def value(sets):
        asked.append(len(sets))
        return [float(len(each)) for each in sets]

    assert worth("abcdef", value).as_json()["exact"]
    assert asked == [64]
    seven = worth("abcdefg", value, orders=4)
    assert seven.as_json()["values"]["a"] == {"value": pytest.approx(1.0), "standard_error": pytest.approx(0.0)}


def test_values_of_a_row_add_up_to_its_evidence(tmp_path):
    subject, rows = rich(tmp_path, left_out={"clip", "sound", "bytes", "cloud", "curve"})
    for i in (1, 3):  # row 3 lacks its picture
        batch = subject.batch(rows[i])
        question = Question.of(subject, batch)
        found = worth_in_row(subject, batch, question)
        assert found.values.keys() == set(present(batch))
        assert ("picture" in found.values) == (i != 3)
        with torch.no_grad():
            assert found.whole == pytest.approx(float(question.evidence(subject, batch)), abs=1e-4)
        assert sum(found.values.values()) == pytest.approx(found.whole - found.nothing, abs=1e-4)
