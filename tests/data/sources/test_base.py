"""Places that tables are loaded from."""

import pytest

from perceiver_pytorch.data import DataError, Place, ReadOptions


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("a-00.tar", "a-01.tar", "b.TAR", "inside/c.tar", "films.csv.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path.resolve()


@pytest.mark.parametrize(
    ("name", "found", "root"),
    [
        ("a-{00..01}.tar", ["a-00.tar", "a-01.tar"], "."),
        ("inside/*.tar", ["inside/c.tar"], "inside"),
        ("b.TAR", ["b.TAR"], "."),
        (".", ["a-00.tar", "a-01.tar", "inside/c.tar"], "."),
        ("films.csv.gz", [], "."),
        ("nothing.tar", [], "."),
    ],
)
def test_files_of_a_format(folder, name, found, root):
    place = Place(name)
    assert place.files(".tar") == [folder / path for path in found]
    assert place.root == (folder / root).resolve()


def test_a_pattern_of_several_formats_is_of_none(folder):
    place = Place("{a-00.tar,films.csv.gz}")
    assert place.is_pattern
    assert place.files(".tar") == place.files(".gz") == []


@pytest.mark.parametrize(
    ("name", "message"),
    [("z*.tar", r"there is no file z\*\.tar"), ("a-{01..00}.tar", "a range must go from the smaller")],
)
def test_patterns_that_match_nothing_are_named(folder, name, message):
    with pytest.raises(DataError, match=message):
        Place(name).files(".tar")


def test_a_suffix_is_that_of_the_text_inside(folder):
    assert [Place(name).suffix for name in ("films.csv.gz", "x.JSONL", "x.tar.gz")] == [".csv", ".jsonl", ".gz"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"encoding": "klingon"}, "encoding must be"),
        ({"encoding": "base64"}, "encoding must be"),
        ({"delimiter": ";;"}, "delimiter must be"),
    ],
)
def test_wrong_options_are_named(given, message):
    with pytest.raises(DataError, match=message):
        ReadOptions(**given)
