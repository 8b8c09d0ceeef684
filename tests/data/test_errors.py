"""Libraries that are not installed."""

import sys

import pytest

from perceiver_pytorch.data.errors import DataError, listed, near_column, need


def test_a_missing_library_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(ImportError, match=r'pip install "perceiver-multi-modality-pytorch\[data\]"'):
        need("soxr", "resample sound")


def test_an_error_knows_its_place_and_its_reason():
    plain = DataError("a.csv: is empty")
    assert (str(plain), plain.row, plain.column, plain.reason) == ("a.csv: is empty", None, None, "a.csv: is empty")
    placed = DataError("row 3: bad", row=3, column="x", reason="bad")
    assert (placed.row, placed.column, placed.reason) == (3, "x", "bad")


def test_a_library_is_imported_or_said_to_be_needed(monkeypatch):
    assert need("json", "read") is sys.modules["json"]
    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(ImportError, match=r"^soxr is needed to resample and could not be imported \(.*\): .*\[fast\]"):
        need("soxr", "resample", extra="fast")


def test_as_many_names_are_listed_as_one_reads():
    names = [f"c{i}" for i in range(20)]
    assert listed(names) == ", ".join(names)
    assert listed([*names, "c20"]) == ", ".join(names) + " .. and 1 more"
    assert listed(["a", "", "b"], most=2) == "a, (unnamed) .. and 1 more"
    assert listed(["x"] * 1003, most=3).endswith(" .. and 1,000 more")


def test_a_column_that_is_not_there_resembles_one_or_has_become_several():
    known = ["users", "user.age", "user.home.city", "userage", *(f"many.{i}" for i in range(6))]
    assert (
        near_column("user", known) == " (the values of its objects are columns of their own: user.age, user.home.city)"
    )
    assert near_column("many", known).endswith("many.3, many.4 .. and 1 more)")
    assert near_column("usrs", known) == " (did you mean 'users'?)"
    assert near_column("quite another", known) == ""
