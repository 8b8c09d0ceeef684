"""Rows in pieces: what is hidden is what was asked for, and nothing else."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explain_helpers import rich
from perceiver_pytorch.explain.pieces import Pieces
from perceiver_pytorch.explain.subject import Question


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    subject, rows = rich(tmp_path_factory.mktemp("rich"), left_out={"clip"})
    return subject, rows[1], Pieces.of(subject, rows[1], 8)


def test_each_token_is_in_one_piece_of_its_modality(made):
    subject, sample, pieces = made
    numbers = torch.cat([labels.flatten().unique() for labels in pieces.labels.values()])
    assert torch.equal(numbers[numbers >= 0].sort().values, torch.arange(len(pieces)))
    for modality in subject.spec.modalities:
        assert modality.name in pieces.names
        assert (
            pieces.labels[modality.name].shape[: len(modality.axes)]
            == sample.inputs[modality.name].values.shape[: len(modality.axes)]
        )


def test_words_and_columns_are_pieces_of_their_own(made):
    _, sample, pieces = made
    assert pieces.names.count("note") == 7  # the green house number 1 stands here
    assert pieces.names.count("categories") == 1
    assert pieces.names.count("tags") == len(sample.inputs["tags"].values)


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_nothing_but_what_is_hidden_changes(made, data):
    _, _, pieces = made
    hidden = torch.tensor(data.draw(st.lists(st.booleans(), min_size=len(pieces), max_size=len(pieces))))
    batch = pieces.without(hidden[None])
    gone = torch.cat([hidden, torch.zeros(1, dtype=torch.bool)])
    for name, labels in pieces.labels.items():
        before, after = pieces.batch.inputs[name][0], batch.inputs[name][0]
        where = gone[labels]
        kept = ~where if where.dim() == before.dim() else (~where).unsqueeze(-1).expand_as(before)
        if where.dim() < before.dim() or before.dtype != torch.int64:
            assert torch.equal(before[kept], after[kept]), name
        if name in batch.masks and name not in pieces.batch.masks:
            assert torch.equal(batch.masks[name][0], ~where), name


def test_hiding_nothing_gives_the_evidence_of_the_row(made):
    subject, _, pieces = made
    question = Question.of(subject, pieces.batch)
    found = pieces.evidence(question, torch.zeros(2, len(pieces), dtype=torch.bool))
    torch.testing.assert_close(found, question.evidence(subject, pieces.batch).expand(2), rtol=1e-4, atol=1e-5)


def test_means_of_a_map_are_those_of_each_piece(made):
    _, _, pieces = made
    values = torch.arange(1.0, len(pieces) + 1)
    found = pieces.means(pieces.spread(values))
    torch.testing.assert_close(found.float(), values)
    flat = {"curve": np.ones(21)}  # a value per step, for both channels
    means = pieces.means(flat)
    torch.testing.assert_close(means.sum(), torch.tensor(0.5 * pieces.names.count("curve"), dtype=torch.float64))
