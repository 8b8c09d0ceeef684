"""What metrics say of certainty: on other rows as they are, on the same rows by what the others teach."""

import pytest
import torch

from perceiver_pytorch.data import Predictions
from perceiver_pytorch.data.calibration import Calibration, PatternCalibration, learned
from perceiver_pytorch.data.targets import ClassTarget, NumberTarget
from perceiver_pytorch.data.targets.scaling import Fitted
from perceiver_pytorch.training.table.trust import COVERAGES, coverage_doubts, in_short, trust

CLASSES, NUMBER = ClassTarget("c", ("x", "y", "z"), (1, 1, 1)), NumberTarget("n", 0.0, 1.0)


def answers(rows: int, seed: int, factor: float = 4.0) -> Predictions:
    """A model that is too sure, of a class and a number."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, 3, generator=generator)
    truth = torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]
    number = torch.randn(rows, 1, generator=generator)
    return Predictions(
        torch.arange(rows),
        (CLASSES, NUMBER),
        {"c": logits * factor, "n": number},
        {"c": truth, "n": number[:, 0] + torch.randn(rows, generator=generator)},
        {"text": torch.ones(rows, dtype=torch.bool)},
    )


def calibration_from(raw: Predictions) -> Calibration:
    return Calibration({t.name: learned(t, [((), raw.outputs[t.name], raw.encoded[t.name])]) for t in raw.targets})


@pytest.mark.parametrize("same_rows", [True, False])
def test_calibration_and_coverage_are_measured(same_rows: bool) -> None:
    kept = answers(800, seed=0)
    raw = kept if same_rows else answers(800, seed=1)
    found = trust(raw, calibration_from(kept), same_rows=same_rows)
    told = found["c"]["calibration"]
    assert told["method"] == "temperature"
    assert told["rows"] == 800
    assert told["after"]["ece"] < 0.07 < 0.2 < told["before"]["ece"]
    assert told["after"]["brier"] < told["before"]["brier"]
    assert "before" not in found["n"]["calibration"]
    for name in ("c", "n"):
        assert [row["asked"] for row in found[name]["coverage"]] == list(COVERAGES)
        for row in found[name]["coverage"]:
            assert row["low"] - 0.02 <= row["asked"] <= row["high"] + 0.02
            assert row["size"] > 0
    assert in_short(found)["c"]["coverage"]["0.9"] == found["c"]["coverage"][1]["measured"]


def test_rows_that_were_learned_from_are_not_measured_by_themselves() -> None:
    """60 rows of noise: their own quantiles would hold just as many as asked."""
    raw = answers(60, seed=0)
    own, crossed = (trust(raw, calibration_from(raw), same_rows=same) for same in (False, True))
    assert own["n"]["coverage"] != crossed["n"]["coverage"]
    assert own["c"]["calibration"]["after"]["loss"] < crossed["c"]["calibration"]["after"]["loss"]


def test_nothing_is_said_without_a_calibration_or_without_truth() -> None:
    raw = answers(60, seed=0)
    assert trust(raw, None, same_rows=False) == {}
    assert trust(raw, Calibration({}), same_rows=False) == {}
    raw.encoded["c"].fill_(-1)
    assert [*trust(raw, calibration_from(answers(60, seed=1)), same_rows=False)] == ["n"]


def test_infinite_intervals_have_no_size() -> None:
    few = Calibration({"n": (PatternCalibration((), 2, Fitted(), ((1.0,), (1.0,))),)})
    found = trust(answers(60, seed=0), few, same_rows=False)
    assert [row["size"] for row in found["n"]["coverage"]] == [None] * 3
    assert [row["measured"] for row in found["n"]["coverage"]] == [1.0] * 3


def test_sets_that_hold_too_little_are_told() -> None:
    row = {"asked": 0.9, "measured": 0.7, "low": 0.6, "high": 0.8, "rows": 100}
    (text,) = coverage_doubts({"c": {"coverage": [row]}})
    assert "c: sets of coverage 0.9 hold the truth of 0.700 of the rows (0.6–0.8)" in text
    for other in ({"high": 0.95}, {"rows": 10}, {"asked": 0.8, "high": 0.7}):
        assert coverage_doubts({"c": {"coverage": [row | other]}}) == []
    assert coverage_doubts({"c": {}}) == []
