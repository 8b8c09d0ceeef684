import math

import numpy as np
import pytest
import torch

from perceiver_pytorch.data import ClassTarget, LabelsTarget, NumberTarget
from perceiver_pytorch.data.targets import intervals


def test_wilsons_interval_is_that_of_the_textbook():
    assert intervals.wilson(0.9, 10) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert intervals.wilson(1.0, 1) == pytest.approx((0.2065, 1.0), abs=1e-4)
    assert intervals.wilson(0.0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert intervals.wilson(0.5, 0) == (0.0, 1.0)
    assert intervals.wilson(0.3, 7) == pytest.approx((0.0890303, 0.6527018), abs=1e-6)


def test_what_is_not_finite_is_not_stated():
    assert intervals.stated((0.25, np.float64(0.5)), "Wilson") == {
        "low": 0.25,
        "high": 0.5,
        "level": 0.95,
        "method": "Wilson",
    }
    assert intervals.stated(None, "Wilson") is None
    assert intervals.stated((0.0, math.inf), "Wilson") is intervals.stated((math.nan, 1.0), "Wilson") is None


def test_an_area_of_one_positive_is_next_to_nothing():
    low, high = intervals.auroc(1.0, 1, 299)
    assert 0.4 < low < 0.5
    assert high == 1.0
    low, high = intervals.auroc(0.8, 500, 500)
    assert (low, high) == pytest.approx((0.770, 0.826), abs=2e-3)  # near the usual 0.8 ± 1.96 · 0.0139
    assert intervals.auroc(0.75, 3, 8) == pytest.approx((0.36671023, 0.93423136), abs=1e-7)
    assert intervals.auroc(0.0, 2, 3) == pytest.approx((0.0, 0.56108761), abs=1e-7)


@pytest.mark.parametrize(("area", "positives", "negatives"), [(0.7, 10, 40), (0.9, 20, 20)])
def test_an_area_lies_where_it_says_about_95_times_of_100(area, positives, negatives):
    rng = np.random.default_rng(0)
    shift = {0.7: 0.7416, 0.9: 1.8124}[area]  # of two normal distributions with this area
    inside = 0
    for _ in range(400):
        scores = rng.normal(size=positives)[:, None] + shift - rng.normal(size=negatives)
        low, high = intervals.auroc(float((scores > 0).mean()), positives, negatives)
        inside += low <= area <= high
    assert 0.92 <= inside / 400 <= 0.99


def test_f1_and_means():
    assert intervals.f1(0, 1)[0] == 0.0
    assert intervals.f1(5, 0)[1] == 1.0
    low, high = intervals.f1(8, 2)
    assert low < 2 * 8 / (2 * 8 + 2) < high
    assert (low, high) == pytest.approx([2 * end / (1 + end) for end in intervals.wilson(0.8, 10)])
    assert intervals.f1(0, 0) == (0.0, 1.0)
    assert intervals.mean([0.5], [(0.25, 0.75)]) == (0.25, 0.75)
    half = 0.4 / math.sqrt(2)
    assert intervals.mean([0.5, 0.5], [(0.1, 0.9)] * 2) == pytest.approx((0.5 - half, 0.5 + half))
    assert intervals.mean([], []) is None
    below, above = math.hypot(0.1, 0.6) / 2, math.hypot(0.3, 0.05) / 2
    assert intervals.mean([0.2, 0.9], [(0.1, 0.5), (0.3, 0.95)]) == pytest.approx((0.55 - below, 0.55 + above))
    assert intervals.mean([0.01, 0.01], [(-0.9, 0.02)] * 2)[0] == 0.0
    assert intervals.mean([0.99, 0.99], [(0.9, 1.9)] * 2)[1] == 1.0


def test_a_bootstrap_is_repeatable_and_needs_rows():
    values = np.random.default_rng(1).normal(5, 1, size=100)

    def mean(drawn):
        return {"mean": drawn @ values / len(values)}

    found = intervals.bootstrap(mean, 100)
    assert found == intervals.bootstrap(mean, 100) != intervals.bootstrap(mean, 100, seed=1)
    assert found["mean"] == pytest.approx((values.mean() - 0.196, values.mean() + 0.196), abs=0.06)
    assert intervals.bootstrap(mean, 1) == intervals.bootstrap(mean, 10_001) == {}


def test_a_bootstrap_draws_as_many_rows_as_there_are():
    seen = []

    def scores(drawn):
        seen.append(drawn)
        first = np.arange(len(drawn)) < 1
        return {
            "rising": np.arange(len(drawn)) / 1.0,
            "once": np.where(first, 7.0, np.nan),
            "never": drawn[:, 0] * np.nan,
        }

    found = intervals.bootstrap(scores, 10_000)
    (drawn,) = seen
    assert (drawn.shape, drawn.dtype) == ((400, 10_000), np.float64)
    assert set(drawn.sum(1)) == {10_000}
    assert drawn.mean(0).std() < 0.06
    assert found == {"rising": pytest.approx((0.025 * 399, 0.975 * 399)), "once": (7.0, 7.0)}
    assert intervals.bootstrap(lambda drawn: {"rows": drawn.sum(1)}, 2) == {"rows": (2.0, 2.0)}


def of(target, outputs, encoded):
    metrics = target.measured(outputs, encoded)
    return metrics, target.intervals(metrics, outputs, encoded)


@pytest.mark.parametrize("kind", ["class", "classes", "labels", "number"])
def test_each_score_has_an_interval_around_it_and_says_how(kind):
    torch.manual_seed(0)
    target = {
        "class": ClassTarget("y", ("a", "b"), (20, 10)),
        "classes": ClassTarget("y", ("a", "b", "c"), (20, 10, 5)),
        "labels": LabelsTarget("y", ("a", "b"), (20, 10), 30, "|"),
        "number": NumberTarget("y", 3.0, 2.0),
    }[kind]
    if kind == "labels":
        encoded = torch.randint(0, 2, (30, 2)).float()
    else:
        encoded = torch.randn(30) if kind == "number" else torch.arange(30) % target.size
    metrics, found = of(target, torch.randn(30, target.size), encoded)
    assert {*target.scores} <= found.keys()
    for name, interval in found.items():
        assert interval.keys() == {"low", "high", "level", "method"}
        assert interval["low"] < metrics[name] < interval["high"], name
        assert interval["level"] == 0.95
    expected = {"class": "Newcombe", "classes": "Newcombe for each class, joined by MOVER"}
    assert found.get("auroc", {}).get("method") == expected.get(kind)
    assert found.get("r2", {"method": "bootstrap"})["method"] == "bootstrap"


def test_a_perfect_score_of_one_positive_is_in_doubt():
    target = ClassTarget("y", ("neg", "pos"), (299, 1))
    encoded = torch.tensor([0] * 299 + [1])
    metrics, found = of(target, 9.0 * torch.eye(2)[encoded], encoded)
    assert [metrics[name] for name in target.scores] == [1.0] * 4
    assert found["accuracy"]["low"] > 0.98
    assert max(found[name]["low"] for name in ("balanced_accuracy", "auroc", "macro_f1")) < 0.7


def test_what_has_no_value_has_no_interval():
    target = ClassTarget("y", ("neg", "pos"), (3, 1))
    metrics, found = of(target, torch.zeros(3, 2), torch.zeros(3, dtype=torch.long))
    assert metrics["auroc"] is found["auroc"] is None
    assert of(NumberTarget("y", 0.0, 1.0), torch.zeros(1, 1), torch.zeros(1))[1] == {}
