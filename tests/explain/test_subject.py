"""What is explained: vectors of ids are changed where they are looked up, also where texts share a table."""

import numpy as np
import torch

from data_helpers import fitted, table_of
from perceiver_pytorch._settings import read_settings
from perceiver_pytorch.data import TableDataset, collate
from perceiver_pytorch.explain.subject import repeated
from perceiver_pytorch.training.table.build import build_model, model_name
from perceiver_pytorch.training.table.explained import subject_of
from perceiver_pytorch.training.table.settings import FitConfig
from training_helpers import TINY


def two_texts(folder):
    """A model of two texts, whose words have one table."""
    lines = [f"some {word} words of a text" for word in ("good", "bad", "long", "good")] * 3
    table = table_of(folder, first=lines, second=lines[::-1], label=["a", "b"] * 6)
    spec, _ = fitted(table, "label", kinds={"first": "text", "second": "text"})
    model = build_model(spec, read_settings(FitConfig, {"model": {**TINY, "depth": 1}}).model)
    return subject_of(model, spec), TableDataset(table, np.arange(12), spec, workers=0)


def test_vectors_are_changed_for_the_modality_that_asks(tmp_path):
    subject, rows = two_texts(tmp_path)
    stems = subject.model.stems
    assert stems[model_name("first")].table is stems[model_name("second")].table
    batch = collate([rows[0], rows[1]], subject.spec)
    seen = {}

    def keep(name, vectors):
        seen[name] = vectors.shape
        return vectors

    with torch.no_grad(), subject.looked_up(keep):
        subject.answer(batch)
    lengths = {name: (2, batch.inputs[name].shape[1], 64) for name in ("first", "second")}
    assert seen == lengths
    with torch.no_grad(), subject.looked_up(lambda name, vectors: vectors * (name != "first")):
        without = subject.answer(batch)["label"]
    gone = collate([rows[0], rows[1]], subject.spec)
    gone.inputs["first"] = torch.zeros_like(gone.inputs["first"])
    with torch.no_grad():
        torch.testing.assert_close(without, subject.answer(gone)["label"])
    assert not stems[model_name("first")].table._forward_hooks


def test_rows_are_repeated_one_after_another(tmp_path):
    subject, rows = two_texts(tmp_path)
    batch = repeated(collate([rows[0], rows[1]], subject.spec), 3)
    assert batch.rows.tolist() == [0, 1] * 3
    assert torch.equal(batch.inputs["first"][:2], batch.inputs["first"][4:])
