"""Deletion and insertion: the order of the effects is better than chance, and its opposite is worse."""

import pytest
import torch

from explain_helpers import rich
from perceiver_pytorch.explain.curves import curves
from perceiver_pytorch.explain.pieces import Pieces
from perceiver_pytorch.explain.subject import Question


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    subject, rows = rich(tmp_path_factory.mktemp("rich"), left_out={"clip", "sound", "picture", "cloud", "curve"})
    pieces = Pieces.of(subject, rows[1], 8)
    question = Question.of(subject, pieces.batch)
    return pieces, question


def test_curves_begin_and_end_with_the_whole_row_and_with_nothing(made):
    pieces, question = made
    found = curves(pieces, question, torch.rand(len(pieces)), orders=3)
    torch.testing.assert_close(found.deletion[0], found.insertion[-1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.deletion[-1], found.insertion[0], rtol=1e-4, atol=1e-5)
    assert found.random_deletion.shape == (3, len(found.deletion))


def test_the_order_of_the_effects_beats_chance_and_its_opposite_loses(made):
    pieces, question = made
    effects = pieces.effects(question)
    best, worst = (curves(pieces, question, sign * effects).areas for sign in (1, -1))
    assert best["deletion"] > 0 > worst["deletion"]
    assert best["insertion"] > 0 > worst["insertion"]
