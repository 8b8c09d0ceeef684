"""``perceiver explain``: its output, its exit code, its files."""

import pytest

from cli_helpers import perceiver
from perceiver_pytorch.cli.explain import numbers_of


def test_explain_writes_a_page_and_says_where(folder, run):
    done = perceiver("explain", "first", "mixed.csv", "--rows", "1,3", "--way", "gradient", "-o", "why", cwd=folder)
    assert "2 rows explained in why/index.html" in done.stdout
    assert (folder / "why/row-1/label.gradient.note.svg").is_file()


def test_heads_and_layers_are_told_apart_if_asked_for(folder, run):
    told = ("--heads", "0,1", "--layers", "0", "--way", "attention", "-o", "heads")
    perceiver("explain", "first", "mixed.csv", "--rows", "1", *told, cwd=folder)
    names = {path.name for path in (folder / "heads/row-1").glob("*note*")}
    assert names == {
        "label.attention.note.svg",
        "label.attention.layer-0.head-0.note.svg",
        "label.attention.layer-0.head-1.note.svg",
    }
    done = perceiver("explain", "first", "mixed.csv", "--rows", "1", "--heads", "9", cwd=folder, check=False)
    assert done.returncode == 2
    assert "heads must be some of 0 to" in done.stderr


def test_rows_that_there_are_not_are_told(folder, run):
    done = perceiver("explain", "first", "mixed.csv", "--rows", "99", cwd=folder, check=False)
    assert done.returncode == 2
    assert "rows are 0 to 47, got 99" in done.stderr


def test_numbers_of_rows_are_read_as_people_write_them():
    assert numbers_of("rows", "3, 17") == [3, 17]
    assert numbers_of("rows", "0-3,9") == [0, 1, 2, 3, 9]
    for wrong in ("x", "3-1", "1,,2", "-1", "1-"):
        with pytest.raises(ValueError, match="rows must be numbers"):
            numbers_of("rows", wrong)
