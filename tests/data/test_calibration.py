"""Entries by pattern: which one a row goes by, how it is kept, and what is refused."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perceiver_pytorch.data import DataError, Predictions
from perceiver_pytorch.data.calibration import Calibration, PatternCalibration, calibration_of, learned, nearest
from perceiver_pytorch.data.targets import ClassTarget, NumberTarget
from perceiver_pytorch.data.targets.conformal import kept_misfits, limits
from perceiver_pytorch.data.targets.scaling import LEAST_ROWS, Fitted

TARGET = ClassTarget("c", ("x", "y"), (1, 1))


def entry(*present: str, scale: float = 1.0) -> PatternCalibration:
    return PatternCalibration(present, 60, Fitted((scale, scale), (0.0, 0.0)), ((0.1, 0.5, 0.9),))


CALIBRATION = Calibration(
    {"c": (entry(scale=9.0), entry("image", "text", scale=2.0), entry("image", scale=3.0), entry("text", scale=4.0))}
)


def predictions(has: list[list[bool]], names: tuple[str, ...] = ("image", "text")) -> Predictions:
    present = {name: torch.tensor([row[i] for row in has]) for i, name in enumerate(names)}
    rows = len(has)
    return Predictions(
        torch.arange(rows), (TARGET,), {"c": torch.ones(rows, 2)}, {"c": torch.zeros(rows, dtype=torch.long)}, present
    )


def test_a_row_goes_by_the_entry_of_what_it_has() -> None:
    found = predictions([[True, True], [True, False], [False, True]]).calibrated(CALIBRATION)
    assert found.outputs["c"][:, 0].tolist() == [2.0, 3.0, 4.0]


def test_what_is_left_out_counts_as_missing() -> None:
    given = replace(predictions([[True, True], [True, False]]), left_out=("text",))
    assert given.calibrated(CALIBRATION).outputs["c"][:, 0].tolist() == [3.0, 3.0]


def test_an_unknown_pattern_goes_by_the_nearest() -> None:
    entries = CALIBRATION.targets["c"]
    assert nearest(entries, frozenset({"image", "text", "sound"})) is entries[1]
    assert nearest(entries, frozenset()) is entries[2]
    assert nearest(entries[:1], frozenset({"image"})) is entries[0]


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12), st.data())
@settings(max_examples=30, deadline=None)
def test_a_row_depends_on_no_other(has: list[tuple[bool, bool]], data: st.DataObject) -> None:
    alone = data.draw(st.integers(0, len(has) - 1))
    together = predictions([list(row) for row in has]).calibrated(CALIBRATION)
    single = predictions([list(has[alone])]).calibrated(CALIBRATION)
    assert torch.equal(together.outputs["c"][alone], single.outputs["c"][0])
    assert together.columns(0.9)["set"][alone] == single.columns(0.9)["set"][0]


def test_kept_and_read_it_is_the_same() -> None:
    kept = json.loads(json.dumps(CALIBRATION.to_json()))
    assert Calibration.from_json(kept, [TARGET]) == CALIBRATION


def test_a_pattern_of_few_rows_has_no_entry_of_its_own() -> None:
    def rows(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.randn(count, 2, generator=torch.Generator().manual_seed(0)), torch.arange(count) % 2

    found = learned(TARGET, [((), *rows(80)), (("image",), *rows(LEAST_ROWS)), (("text",), *rows(LEAST_ROWS - 1))])
    assert [each.present for each in found] == [(), ("image",)]
    assert learned(TARGET, [((), torch.zeros(2, 2), torch.tensor([-1, -1]))]) == ()


def test_a_target_of_which_nothing_is_known_stays_as_it_is() -> None:
    found = predictions([[True, True]]).calibrated(Calibration({}))
    assert torch.equal(found.outputs["c"], torch.ones(1, 2))
    assert "set" not in found.columns(0.9)


def test_too_few_rows_are_told() -> None:
    (text,) = CALIBRATION.coverage_warnings(0.999)
    assert "c: 60 validation rows are too few for a coverage of 0.999, which takes 999" in text
    assert CALIBRATION.coverage_warnings(0.9) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, "version 1"),
        ({"targets": 3}, "version 1"),
        ({"targets": {"c": []}}, "one entry at least"),
        ({"targets": {"c": [{"rows": 1}]}}, "must have the fields"),
        ({"targets": {"c": [entry().to_json() | {"scale": [1.0], "bias": [0.0]}]}}, "2 numbers of scale"),
        ({"targets": {"c": [entry().to_json() | {"misfits": [[2.0, 1.0]]}]}}, "misfits must ascend"),
        ({"targets": {"c": [entry().to_json() | {"rows": 0}]}}, "rows must be 1 or more"),
        ({"targets": {"c": [entry().to_json() | {"scale": [float("nan"), 1.0]}]}}, "finite"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        Calibration.from_json(CALIBRATION.to_json() | change, [TARGET])


def test_a_model_without_one_has_none() -> None:
    assert calibration_of(torch.nn.Identity(), [TARGET]) is None


def test_several_targets_are_calibrated_each_by_itself() -> None:
    number = NumberTarget("n", 0.0, 1.0)
    both = Calibration({**CALIBRATION.targets, "n": (PatternCalibration((), 60, Fitted(), ((0.5,) * 3, (0.5,) * 3)),)})
    one = predictions([[True, True]])
    given = replace(
        one,
        targets=(TARGET, number),
        outputs={**one.outputs, "n": torch.tensor([[2.0]])},
        encoded={**one.encoded, "n": torch.tensor([2.0])},
    )
    columns = given.calibrated(both).columns(0.9)
    assert list(columns)[1:6] == ["c_prediction", "c_set", "c_set_size", "c_p_x", "c_p_y"]
    assert (columns["n_low"][0], columns["n_high"][0]) == (1.5, 2.5)


def test_rows_that_were_learned_from_do_not_make_sets_smaller() -> None:
    """16 classes and 400 rows: a factor and a shift for each, of rows that they fit, would promise too much."""
    target = ClassTarget("c", tuple(map(str, range(16))), (1,) * 16)
    generator = torch.Generator().manual_seed(0)

    def rows(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        logits = torch.randn(count, 16, generator=generator)
        return logits + 2 * torch.arange(16).fmod(3), torch.multinomial(logits.softmax(-1), 1, generator=generator)[
            :, 0
        ]

    outputs, encoded = rows(400)
    entry = PatternCalibration.learned(target, (), outputs, encoded)
    assert entry is not None
    assert entry.fitted.method == "vector"
    values = target.values(torch.from_numpy(entry.fitted.calibrated(outputs.numpy()))).numpy()
    same = target.misfits(values, encoded.numpy(), entry.fitted)
    assert same is not None
    levels = (0.5, 0.6, 0.7, 0.8)
    gaps = [entry.limits(level)[0] - limits(kept_misfits(same), 400, level)[0] for level in levels]
    assert min(gaps) > 0
    assert sum(gaps) > 0.01
