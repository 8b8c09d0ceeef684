"""A body is rows of the model's columns, or is refused with a sentence that says where and why."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perceiver_pytorch.data.fields import Field
from perceiver_pytorch.serve.asking import Asked, Reader
from perceiver_pytorch.serve.forms import CellLimits
from perceiver_pytorch.serve.refusals import RefusedError

READER = Reader(
    {"picture": Field("picture", "image"), "size": Field("size", "number"), "note": Field("note")},
    ("picture", "numbers", "note"),
    CellLimits(1000, 1000),
    max_rows=3,
    ignored=frozenset({"label"}),
)


def refused(body: bytes) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        READER.from_json(body)
    return caught.value


def test_rows_have_every_column() -> None:
    asked = READER.from_json(b'{"rows": [{"size": 1, "label": "x"}, {}], "without": ["note"]}')
    assert asked.rows == [{"picture": None, "size": 1, "note": None}, dict.fromkeys(("picture", "size", "note"))]
    assert asked.without == ("note",)


def test_a_form_is_one_row() -> None:
    asked = READER.from_form([("picture", b"PNG"), ("size", "3"), ("without", "note"), ("without", "numbers")])
    assert asked.rows == [{"picture": b"PNG", "size": "3", "note": None}]
    assert asked.without == ("note", "numbers")
    with pytest.raises(RefusedError, match="several rows are sent as JSON"):
        READER.from_form([("size", "3"), ("size", "4")])
    with pytest.raises(RefusedError, match="no part that is a column; the columns are picture, size, note"):
        READER.from_form([])


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "the body is no JSON"),
        (b"\xff", 400, "the body is no JSON"),
        (b"[" * 100_000, 400, "nested too deeply"),
        (b'{"rows": [{"size": NaN}]}', 400, "NaN is no number of JSON"),
        (b"[]", 400, "must be JSON of the form"),
        (b'{"rows": {}}', 400, "must be JSON of the form"),
        (b'{"rows": [{}], "row": 1}', 400, "has row besides rows and without"),
        (b'{"rows": []}', 422, "must be 1 to 3 rows, got 0"),
        (b'{"rows": [{}, {}, {}, {}]}', 422, "must be 1 to 3 rows, got 4"),
        (b'{"rows": [3]}', 422, "row 0: must be an object of columns, got '3'"),
        (b'{"rows": [{}], "without": 3}', 400, "without must be a list"),
        (b'{"rows": [{}], "without": ["notes"]}', 422, "no modality 'notes'.*did you mean.*note"),
    ],
)
def test_another_body_is_refused(body: bytes, status: int, message: str) -> None:
    error = refused(body)
    assert error.status == status
    with pytest.raises(RefusedError, match=message):
        raise error


def test_a_refused_cell_is_named() -> None:
    error = refused(b'{"rows": [{}, {"sise": 3}]}')
    assert error.body["row"] == 1
    assert error.body["column"] == "sise"
    assert "did you mean 'size'" in error.body["error"]
    assert refused(b'{"rows": [{"picture": "1.png"}]}').body["column"] == "picture"


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=40) | st.recursive(st.none() | st.text(max_size=5) | st.integers(), st.lists).map(
    lambda value: json.dumps({"rows": value}).encode()))  # fmt: skip
def test_any_body_is_read_or_refused(body: bytes) -> None:
    try:
        found: Asked | RefusedError = READER.from_json(body)
    except RefusedError as error:
        found = error
    assert isinstance(found, Asked) or 400 <= found.status < 500
