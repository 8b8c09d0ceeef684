import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceiver_pytorch.data.label_cells import find_separator, is_list_text, labels_of


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


def test_a_separator_stands_in_one_cell_of_fifty():
    shared = [f"w{i}" for i in range(45)]
    assert find_separator([*shared, "w0|w1", "w0", "w1", "w2", "w3"]) == "|"
    assert find_separator([*shared, *shared, *shared, "w0|w1", "w0|w2"]) is None  # 2 of 137
    assert find_separator([*shared, *shared, *shared, "w0|w1", "w0|w2", "w0|w3"]) == "|"
    long = "x" * 60
    assert find_separator([f"{long}|b", long, "b", ""]) == "|"
    assert find_separator([f"{long}x|b", f"{long}x", "b"]) is None
    assert find_separator([None, 3, ["a|b"]]) is None


def test_lists_as_text_are_read_to_a_length():
    assert is_list_text(" [1] ")
    assert not any(map(is_list_text, ("[1", "1]", 5, ["a"], None)))
    assert labels_of("[" + "'a'," * 24_998 + "'b']", None) == ("a", "b")
    with pytest.raises(ValueError, match="must be a list of labels, got"):
        labels_of("[" + "'a'," * 25_000 + "'b']", None)
    for cell in ('{"a": 1}', "('a',)"):
        assert labels_of(cell, None) == (cell,)
    for cell in ("[('a',)]", "[{'a': 1}]", ["a", {"b": 1}], [("a",)]):
        with pytest.raises(ValueError, match="must be a list of labels, got"):
            labels_of(cell, None)
    assert labels_of((" a ", "", float("nan"), "b"), None) == ("a", "b")
