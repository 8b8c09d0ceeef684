"""What is sent becomes a cell, or is refused with a sentence; nothing that leads to a file gets through."""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perceiver_pytorch.data.cells import Where, media_source
from perceiver_pytorch.data.errors import DataError
from perceiver_pytorch.data.fields import FILES, FORMS, Field
from perceiver_pytorch.serve.forms import CellLimits, cell_schema, part_schema, read_cell
from perceiver_pytorch.serve.served import NOWHERE

LIMITS = CellLimits(100, 20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
PATHS = ["/etc/passwd", "1.png", "../1.npy", "C:\\x.npy", "file:///etc/passwd", "http://127.0.0.1/x.png", "~/.ssh/id"]


@pytest.mark.parametrize("form", [*FILES, "array"])
@pytest.mark.parametrize("path", PATHS)
def test_a_path_or_an_address_is_no_file(form: str, path: str) -> None:
    for sent in (path, {"path": path}, {"bytes": None, "path": path}, {"values": path}, [{"path": path}]):
        with pytest.raises(ValueError, match=r"must be (the file itself|lists of numbers)"):
            read_cell(Field("x", form), sent, LIMITS)


@pytest.mark.parametrize("path", PATHS)
def test_what_reads_a_file_refuses_paths_where_only_uploads_count(path: str) -> None:
    with pytest.raises(DataError, match="must be the file itself"):
        media_source(path, "x", Where("request", NOWHERE, 0, uploads_only=True))
    with pytest.raises(DataError, match="must be the file itself"):
        media_source({"path": path}, "x", Where("request", NOWHERE, 0, uploads_only=True, allow_outside=True))


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=40, deadline=None)
@given(value=JSON)
def test_any_json_is_read_or_refused_with_a_sentence(form: str, value: object) -> None:
    try:
        cell = read_cell(Field("x", form), value, LIMITS)
    except ValueError as error:
        sentence, cell = str(error), None
        if not sentence.startswith(("must be", "has ")):
            raise
    assert not isinstance(cell, str) or form not in (*FILES, "array"), "it would be taken for a path"
    assert not isinstance(cell, dict) or "path" not in cell


def test_a_file_comes_as_base64_a_data_uri_or_bytes() -> None:
    data = bytes(range(256))
    text = base64.b64encode(data).decode()
    for sent in (data, text, text.rstrip("="), f"data:image/png;base64,{text}"):
        assert read_cell(Field("x", "image"), sent, LIMITS) == data


@pytest.mark.parametrize("given", [None, "", b""])
@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_a_missing_cell(form: str, given: object) -> None:
    assert read_cell(Field("x", form), given, LIMITS) is None


@pytest.mark.parametrize(
    ("form", "given", "message"),
    [
        ("text", "x" * 101, "has 101 characters, and 100 is the most"),
        ("number", "1" * 101, "has 101 characters"),
        ("number", True, "must be a number, got true or false"),
        ("number", [1], "must be a text, a number, true or false, got a list"),
        ("text", b"\xff", "must be text in UTF-8"),
        ("choice", "\ud800", "half of a pair of surrogates"),
        ("array", [0] * 21, "has more than 20 numbers"),
        ("array", [[0] * 10] * 3, "has more than 20 numbers"),
        ("array", [[[[0]]]], "3 in one another at most"),
        ("array", [{"path": "x"}], "got an object in one"),
        ("array", {"bytes": "AA=="}, "or have the fields values and time"),
        ("array", "5", "must be lists of numbers"),
        ("names", ["a"] * 21, "has more than 20 names"),
        ("names", [["a"]], "got a list"),
    ],
)
def test_what_is_too_long_or_of_another_form_is_refused(form: str, given: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_cell(Field("x", form), given, LIMITS)


def test_an_array_comes_as_lists_as_json_text_with_times_or_as_a_numpy_file() -> None:
    array = Field("x", "array")
    assert read_cell(array, [[1, None], [2, 3]], LIMITS) == [[1, None], [2, 3]]
    assert read_cell(array, "[1, 2]", LIMITS) == [1, 2]
    assert read_cell(array, b" [1, 2]", LIMITS) == [1, 2]
    assert read_cell(array, '{"values": [1], "time": ["2020-01-01"]}', LIMITS) == {
        "values": [1],
        "time": ["2020-01-01"],
    }
    assert read_cell(array, b"\x93NUMPY..", LIMITS) == b"\x93NUMPY.."


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_a_schema(form: str) -> None:
    example = {"number": 2.5, "array": [[1.0]], "names": ["a"]}.get(form, "a")
    field = Field("x", form, example, ("a", "b"), 1.0, 5.0)
    schema = cell_schema(field)
    json.dumps(schema)
    assert schema["examples"] == [example]
    assert schema["description"].endswith("missing")
    assert part_schema(field)["type"] == "string"
