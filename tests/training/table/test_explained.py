"""A run's model as something to be explained: where its ids are looked up, whatever its shape."""

import pytest
import torch
from torch import nn

from explain_helpers import rich
from perceiver_pytorch.explain.maps import maps_of_row


@pytest.mark.parametrize("target", ["label", ["label", "amount"]])
def test_ids_of_every_kind_are_looked_up_where_it_is_said(tmp_path, target):
    subject, rows = rich(tmp_path, target, left_out={"clip", "sound", "picture"})
    assert subject.lookups.keys() == {"note", "bytes", "tags", "categories"}
    assert all(isinstance(lookup.table, nn.Embedding | nn.EmbeddingBag) for lookup in subject.lookups.values())
    assert not subject.model.training
    seen = set()
    with torch.no_grad(), subject.looked_up(lambda name, vectors: seen.add(name) or vectors):
        subject.answer(subject.batch(rows[0]))
    assert seen == subject.lookups.keys()
    for name in [target] if isinstance(target, str) else target:
        assert maps_of_row(subject, rows[0], target=name, ways=["attention"])["attention"].grids
