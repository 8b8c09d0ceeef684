"""Scores by parts of the rows: where a model fails for one part, that part is marked."""

import numpy as np
import pytest
import torch

from data_helpers import fitted, table_of
from perceiver_pytorch.data import Predictions, TableDataset
from perceiver_pytorch.report.slices import _natural, interval, slices

ROWS = 200


@pytest.fixture
def made(tmp_path):
    rng = np.random.default_rng(0)
    places = ["here", "there"]
    table = table_of(
        tmp_path,
        size=[float(i) if i % 10 else None for i in range(ROWS)],
        place=[places[i % 2] for i in range(ROWS)],
        note=[f"some words of row {i} in a text" if i % 5 else None for i in range(ROWS)],
        label=[["no", "yes"][int(x)] for x in rng.integers(2, size=ROWS)],
    )
    spec, _ = fitted(table, "label", kinds={"note": "text"})
    dataset = TableDataset(table, np.arange(ROWS), spec, workers=0)
    (target,) = spec.targets
    truth = torch.tensor([int(dataset[i].targets["label"]) for i in range(ROWS)])
    wrong = torch.tensor([i % 2 == 1 and i < 100 for i in range(ROWS)])  # there, and small
    outputs = torch.nn.functional.one_hot(torch.where(wrong, 1 - truth, truth), 2).float()
    present = {m.name: torch.ones(ROWS, dtype=torch.bool) for m in spec.modalities}
    present["note"] = torch.arange(ROWS) % 5 != 0
    rows = torch.arange(ROWS)
    return dataset, Predictions(rows, spec.targets, {"label": outputs}, {"label": truth}, present), target


def test_the_part_where_a_model_fails_is_marked(made):
    found = {(one.by, one.name): one for one in slices(*made)}
    assert found["place", "here"].score == 1.0
    assert found["place", "there"].score == 0.5
    assert found["place", "there"].differs
    assert found["place", "there"].low < 0.5 < found["place", "there"].high
    assert {name for by, name in found if by == "true label"} == {"no", "yes"}
    assert {name for by, name in found if by == "modality note"} == {"there", "missing"}
    sizes = [name for by, name in found if by == "size"]
    assert len(sizes) == 5
    assert "(missing)" in sizes
    assert sum(one.rows for one in found.values() if one.by == "size") == ROWS
    small = next(one for one in found.values() if one.by == "size" and one.name.startswith("below"))
    assert small.score == pytest.approx(0.5, abs=0.1)


def test_parts_of_few_rows_say_nothing_and_no_row_is_no_part(made):
    dataset, predictions, target = made
    few = Predictions(
        predictions.rows[:8],
        predictions.targets,
        {"label": predictions.outputs["label"][:8]},
        {"label": predictions.encoded["label"][:8]},
        {name: there[:8] for name, there in predictions.present.items()},
    )
    assert all(one.rows >= 5 for one in slices(dataset, few, target))
    none = Predictions(few.rows, few.targets, few.outputs, {"label": torch.full((8,), -1)}, few.present)
    assert slices(dataset, none, target) == []


def test_intervals_are_wilsons_of_shares_and_by_the_standard_error_of_other_figures():
    assert interval(np.array([1.0] * 10)) == pytest.approx((0.722, 1.0), abs=1e-3)
    low, high = interval(np.array([1.0, 2.0, 3.0, 4.0]))
    assert (low + high) / 2 == 2.5
    assert high - low == pytest.approx(2 * 1.959964 * np.std([1, 2, 3, 4], ddof=1) / 2)


def test_ranges_stand_in_the_order_of_their_numbers() -> None:
    names = ["8,621,000 or more", "1987 to 2001", "below 1987", "b", "2001 to 8,621,000", "a"]
    ordered = ["below 1987", "1987 to 2001", "2001 to 8,621,000", "8,621,000 or more", "a", "b"]
    assert sorted(names, key=_natural) == ordered
