"""Layers, heads and latents told apart: the model's own weights, and errors for what there is not."""

import numpy as np
import pytest
import torch

from explain_helpers import rich
from perceiver_pytorch.explain import apart as module
from perceiver_pytorch.explain.apart import Apart
from perceiver_pytorch.explain.attention import recorded
from perceiver_pytorch.explain.maps import maps_of_row


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return rich(tmp_path_factory.mktemp("rich"), left_out={"clip", "cloud"})


@pytest.fixture(scope="module")
def record(made):
    subject, rows = made
    with recorded(subject.model) as found:
        subject.answer(subject.batch(rows[0]))
    return found


def test_a_head_of_a_layer_has_the_weights_that_the_model_had(made, record):
    subject, rows = made
    found = maps_of_row(subject, rows[0], ways=[], apart=Apart(layers=[1], heads=[0], latents=[2]))
    assert list(found) == ["attention.layer-1.head-0.latent-2"]
    grids = found["attention.layer-1.head-0.latent-2"].grids
    names = sorted(subject.reader_names, key=subject.reader_names.__getitem__)
    weights = dict(zip(names, record.reads[1].of(latents=[2], heads=[0]), strict=True))
    assert grids.keys() == weights.keys()
    np.testing.assert_allclose(grids["numbers"], weights["numbers"][0, 0, 0].numpy(), rtol=1e-4)
    np.testing.assert_allclose(grids["note"], weights["note"][0, 0, 0].numpy(), rtol=1e-4)


def test_what_is_not_named_is_the_mean_of_all(record):
    heads, latents = record.reads[0].query.shape[1:3]
    (_, every), *_ = Apart(layers=[0]).shares(record)
    each = dict(Apart([0], "all", "all").shares(record))
    assert len(each) == heads * latents
    for place, part in enumerate(every):
        torch.testing.assert_close(torch.stack([shares[place] for shares in each.values()]).mean(0), part)
    assert sum(part.sum() for part in every) == pytest.approx(1, abs=1e-5)
    assert [name for name, _ in Apart(heads=[0]).shares(record)] == [
        f"attention.layer-{layer}.head-0" for layer in range(len(record.reads))
    ]


def test_nothing_is_told_apart_unless_asked_for(made):
    subject, rows = made
    assert not Apart()
    assert Apart(latents=[0])
    assert list(maps_of_row(subject, rows[0], ways=["attention"])) == ["attention"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Apart(layers=[2]), "layers must be some of 0 to 1, got 2"),
        (Apart(heads=[-1]), "heads must be some of"),
        (Apart(latents=[]), "got none"),
        (Apart(heads="every"), "numbers from 0, or 'all'"),
    ],
)
def test_what_there_is_not_is_told(record, asked, message):
    with pytest.raises(ValueError, match=message):
        list(asked.shares(record))


def test_more_maps_than_anybody_looks_at_are_refused(record, monkeypatch):
    monkeypatch.setattr(module, "MOST", 3)
    with pytest.raises(ValueError, match="more than 3: name fewer"):
        list(Apart(heads="all", latents="all").shares(record))
