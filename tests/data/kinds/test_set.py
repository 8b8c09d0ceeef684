"""Sets: lists of words as inputs."""

import json

import numpy as np
import pytest

from data_helpers import WHOLE, check_bounds, declared, fitted, table_of
from perceiver_pytorch._settings import Settings
from perceiver_pytorch.data import DataError, InputSpec, SpecOptions, TableDataset, Where
from perceiver_pytorch.data.kinds.set import SetKind, SetSettings, SetSpec

TAGS = [["blue"], ["red", "big"], ["red", None], [], None, ["big", "red", "red"]]


@pytest.mark.parametrize("write", [lambda cell: cell, json.dumps, str])
def test_lists_of_words_are_sets(tmp_path, write):
    cells = [None if cell is None else write([one for one in cell if one]) for cell in TAGS * 5]
    table = table_of(tmp_path, tags=cells, y=["a", "b"] * 15)
    spec, _ = fitted(table, "y")
    assert spec.modalities == (SetSpec("tags", ("big", "blue", "red"), 2),)
    sample = TableDataset(table, np.arange(6), spec)
    assert [None if one is None else one.values.tolist() for one in (sample[i].inputs["tags"] for i in range(6))] == [
        [1],
        [0, 2],
        [2],
        None,
        None,
        [0, 2],
    ]
    assert InputSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_names_that_train_rows_did_not_have_are_one_id_and_told():
    spec = SetSpec("tags", ("big", "red"), 2)
    encoded = spec.encode({"tags": ["new", "red", "other"]}, Where("t", None, 0))
    assert encoded.values.tolist() == [1, 2]
    assert [change.what for change in encoded.changes] == ["unseen"]
    encoded = spec.encode({"tags": ["new", "red", "big"]}, Where("t", None, 0))
    assert encoded.values.tolist() == [0, 1]
    assert [change.what for change in encoded.changes] == ["unseen", "cut"]
    with pytest.raises(DataError, match="row 0, column 'tags': must be a list of labels"):
        spec.encode({"tags": "[1, {}]"}, Where("t", None, 0))


def test_texts_with_a_separator_are_sets_on_request(tmp_path):
    table = table_of(tmp_path, tags=["a|b", "b|c", "a|c", "a", "b", "a|b|c"] * 5, y=["a", "b"] * 15)
    spec, _ = fitted(table, "y", kinds={"tags": "set"}, options=SpecOptions(max_set_names=2, max_set_size=1))
    (tags,) = spec.modalities
    assert (len(tags.names), tags.length, tags.separator) == (2, 1, "|")
    assert fitted(table, "y")[0].kinds["tags"] != "set"


def test_every_id_says_what_it_means():
    assert SetSpec("tags", ("a",), 1).id_meanings() == [("tags", "a"), ("tags", None)]
    with pytest.raises(ValueError, match="must differ"):
        SetSpec("tags", ("a", "a"), 1)


def test_the_most_common_names_and_the_largest_set_are_learned():
    cells = [["a", "b", "c"], ["c", "b"], ["c"], None, "[1, {}]"]
    spec = SetSpec.fit("t", cells, SetSettings())
    assert spec == SetSpec("t", ("a", "b", "c"), 3)
    assert SetSpec.fit("t", cells, SetSettings(max_set_names=2, max_set_size=2)) == SetSpec("t", ("b", "c"), 2)
    assert SetSpec.fit("t", [None, []], SetSettings()) == SetSpec("t", (), 1)
    assert (SetSettings().max_set_names, SetSettings().max_set_size) == (1000, 64)
    assert (spec.vocab_size, spec.axes, spec.channels, spec.shape) == (4, (3,), 1, (3,))
    assert spec.note() == "at most 3 of 3 names"
    assert SetSpec("t", tuple(map(str, range(1000))), 2).note() == "at most 2 of 1,000 names"
    with pytest.raises(ValueError, match="length must be"):
        SetSpec("t", ("a",), 0)


def test_a_set_of_the_models_length_is_whole():
    spec = SetSpec("t", ("a", "b", "c"), 2)
    full = spec.encode({"t": ["c", "a"]}, Where("t", None, 0))
    assert (full.values.tolist(), full.changes, full.values.dtype, full.mask) == ([0, 2], (), np.int64, None)
    unseen = spec.encode({"t": ["x", "y"]}, Where("t", None, 0))
    assert unseen.values.tolist() == [3]
    assert [(change.what, change.value) for change in unseen.changes] == [("unseen", "x")]
    assert spec.encode({"t": None}, Where("t", None, 0)) is None


def test_what_the_kind_declares():
    assert declared(SetKind()) == ("set", (SetSpec, "set", "int64"), SetSettings, Settings, False, False)
    check_bounds(SetSettings, max_set_names=WHOLE, max_set_size=WHOLE)
    assert set(SetSpec.changes) == {"cut", "unseen"}
