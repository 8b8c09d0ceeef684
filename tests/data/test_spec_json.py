"""Specs as JSON, and back."""

from dataclasses import dataclass

import pytest

from perceiver_pytorch.data import DataError
from perceiver_pytorch.data.spec_json import from_json, to_json


@dataclass(frozen=True)
class Learned:
    name: str
    means: tuple[float, ...]
    values: tuple[tuple[str, ...], ...] = ()


def test_tuples_are_lists_and_back():
    spec = Learned("x", (1.0, 2.0), (("a",), ("b", "c")))
    given = to_json(spec)
    assert given == {"name": "x", "means": [1.0, 2.0], "values": [["a"], ["b", "c"]]}
    assert from_json(Learned, given, "here") == spec


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "here must be an object, got int"),
        ({"name": "x"}, "'means' does not fit"),
        ({"name": "x", "means": [], "more": 1}, "'more' does not fit"),
        ({"name": 1, "means": []}, "here.name must be str, got 1"),
        ({"name": "x", "means": [float("inf")]}, "here.means must be finite, got inf"),
    ],
)
def test_what_does_not_fit_is_named(given, message):
    with pytest.raises(DataError, match=message):
        from_json(Learned, given, "here")


def test_a_spec_that_refuses_its_values_says_where():
    @dataclass(frozen=True)
    class Positive:
        size: float

        def __post_init__(self):
            if self.size <= 0:
                raise ValueError("size must be positive")

    assert from_json(Positive, {"size": 2}, "here") == Positive(2)
    with pytest.raises(DataError, match=r"^here: size must be positive$"):
        from_json(Positive, {"size": -1.0}, "here")
    with pytest.raises(DataError, match=r"^here.size must be finite, got nan$"):
        from_json(Positive, {"size": float("nan")}, "here")
    with pytest.raises(DataError, match=r"^here must have the fields \['size'\], got \['a', 'b'\]; 'a' does not fit$"):
        from_json(Positive, {"b": 1, "a": 1}, "here")
