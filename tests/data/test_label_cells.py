import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceiver_pytorch.data.label_cells import find_separator, labels_of


@pytest.mark.parametrize(
    ("cell", "separator", "labels"),
    [
        ("Romance, Drama", ",", ("Romance", "Drama")),
        ("a|b|a", "|", ("a", "b")),
        (["a", 1.0, None], None, ("a", "1")),
        ('["a, b", "c"]', ",", ("a, b", "c")),
        ("['a', \"b's\"]", None, ("a", "b's")),
        ("a, b", None, ("a, b",)),
        ("a,,b,", ",", ("a", "b")),
        ([], None, ()),
        ("[]", None, ()),
        ("", ",", None),
        (None, ",", None),
        (7, ",", ("7",)),
    ],
)
def test_cells_and_their_labels(cell, separator, labels):
    assert labels_of(cell, separator) == labels


@pytest.mark.parametrize("cell", ["[a, b]", "[__import__('os')]", "[[1], [2]]", [["a"]], "[" * 5000 + "]" * 5000])
def test_lists_that_cannot_be_read(cell):
    with pytest.raises(ValueError, match="must be a list of labels"):
        labels_of(cell, None)


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1).map(str.strip).filter(bool), unique=True))
def test_a_json_list_reads_back(labels):
    assert labels_of(json.dumps(labels), "|") == tuple(labels)


@pytest.mark.parametrize(
    ("cells", "separator"),
    [
        (["a|b", "a", "b"], "|"),
        (["x; y", "y; z", "x; z", "z", "x; y; z"], ";"),
        (["Drama, Crime", "Drama", "Crime", "Comedy, Drama", "Comedy"], ","),
        (["Portland, OR", "Salem, OR", "Austin, TX"], None),
        (["yes", "no", "yes, but"], None),
        (["plain", "words"], None),
        (["a, " + "long prose " * 10, "a, b", "a", "b"], None),
        ([], None),
    ],
)
def test_a_separator_is_recognised_by_parts_that_come_back(cells, separator):
    assert find_separator(cells) == separator
