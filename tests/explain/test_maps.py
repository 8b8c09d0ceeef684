"""Maps of rows of every kind: their shapes, what is missing, and that rows do not depend on one another."""

import numpy as np
import pytest
import torch

from explain_helpers import ROWS, rich
from perceiver_pytorch.explain.maps import WAYS, maps_of_row
from perceiver_pytorch.explain.subject import Question


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return rich(tmp_path_factory.mktemp("rich"))


@pytest.mark.parametrize("way", WAYS)
def test_every_kind_has_a_map_on_its_own_grid(made, way):
    subject, rows = made
    found = maps_of_row(subject, rows[1], ways=[way], steps=4, pieces=8)[way]
    shapes = {name: grid.shape for name, grid in found.grids.items()}
    assert shapes.keys() == {modality.name for modality in subject.spec.modalities}
    assert shapes["picture"] == rows[1].inputs["picture"].values.shape[:2]
    assert shapes["curve"] == (21, 2)
    assert shapes["cloud"] == (30,)
    assert shapes["clip"] == (len(rows[1].inputs["clip"].values), 16, 16)
    assert shapes["numbers"] == (2,)
    assert all(np.isfinite(grid).all() for grid in found.grids.values())
    assert any(np.abs(grid).max() > 0 for grid in found.grids.values())


@pytest.mark.parametrize("way", WAYS)
def test_a_row_that_lacks_a_modality_has_no_map_of_it(made, way):
    subject, rows = made
    grids = maps_of_row(subject, rows[3], ways=[way], steps=2, pieces=4)[way].grids
    assert "picture" not in grids
    assert "sound" in grids


@pytest.mark.parametrize("kind", ["class", "number", "labels"])
def test_every_kind_of_target_is_explained(tmp_path, kind):
    target = {"class": "label", "number": "amount", "labels": "tags"}[kind]
    others = {"clip", "sound", "picture", "cloud"}
    kinds = {"kinds_of_targets": {"tags": "labels"}} if kind == "labels" else {}
    subject, rows = rich(tmp_path, target, left_out=others, **kinds)
    question = Question.of(subject, subject.batch(rows[0]))
    assert question.target.name == target
    assert question.target.evidence_note(int(question.chosen))
    assert maps_of_row(subject, rows[0], ways=["occlusion"], pieces=4)["occlusion"].grids


def test_the_evidence_of_a_class_are_its_log_odds(made):
    subject, rows = made
    batch = subject.batch(rows[0])
    question = Question.of(subject, batch)
    share = question.target.values(subject.answer(batch)["label"])[0, question.chosen]
    torch.testing.assert_close(question.evidence(subject, batch), (share / (1 - share)).log(), rtol=1e-4, atol=1e-5)


def test_an_unknown_way_or_target_is_named(made):
    subject, rows = made
    with pytest.raises(ValueError, match="a way to explain"):
        maps_of_row(subject, rows[0], ways=["magic"])
    with pytest.raises(ValueError, match="target"):
        maps_of_row(subject, rows[0], target="lable")


def test_the_map_of_a_row_is_the_same_whichever_rows_were_explained_before(made):
    subject, rows = made
    first = maps_of_row(subject, rows[0], ways=["integrated"], steps=2)["integrated"].grids
    for i in range(1, ROWS, 4):
        maps_of_row(subject, rows[i], ways=["integrated", "attention"], steps=2)
    again = maps_of_row(subject, rows[0], ways=["integrated"], steps=2)["integrated"].grids
    for name, grid in first.items():
        assert np.array_equal(grid, again[name])
