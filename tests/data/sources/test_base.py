"""Places that tables are loaded from."""

import pytest

from perceiver_pytorch.data import DataError, Place, ReadOptions
from perceiver_pytorch.data.sources.base import Source, check_file


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
        ({"delimiter": ";;"}, "delimiter must be a single ASCII character, got ';;'"),
        ({"delimiter": "\u00a7"}, "delimiter must be a single ASCII character, got '\u00a7'"),
        ({"table_mb": 0}, "table_mb must be at least 1, got 0"),
    ],
)
def test_wrong_options_are_named(given, message):
    with pytest.raises(DataError, match=message):
        ReadOptions(**given)


def test_what_is_not_said_is_found_out():
    assert vars(ReadOptions()) == {
        **dict.fromkeys(("encoding", "delimiter", "quoting", "stream", "table_mb", "as_written", "decimal", "where")),
        "skip_lines": 0,
        "header": True,
        "skip_bad": False,
        "unread": frozenset(),
        "hosts": (),
    }
    assert ReadOptions(table_mb=1).budget.limit == 1 << 20
    assert ReadOptions(delimiter="|", encoding="cp1252").delimiter == "|"


def test_ranges_and_choices_stand_for_files(folder):
    for name in ("n-8.x", "n-9.x", "n-10.x"):
        (folder / name).touch()
    assert [path.name for path in Place("n-{8..10}.x").matched] == ["n-8.x", "n-9.x", "n-10.x"]
    assert [path.name for path in Place("n-{10,8}.x").matched] == ["n-10.x", "n-8.x"]
    assert [path.name for path in Place("{a-00.tar,n-8}*").matched] == ["a-00.tar", "n-8.x"]
    assert [path.name for path in Place("n-{9..9}.x").matched] == ["n-9.x"]
    with pytest.raises(DataError, match=r"n-\{8\.\.1000008\}\.x: a range must go .* number, got \{8\.\.1000008\}"):
        _ = Place("n-{8..1000008}.x").matched
    with pytest.raises(DataError, match=r"there is no file n-11\.x"):
        _ = Place("n-{8..1000007}.x").matched
    (folder / "q[1].x").touch()
    assert not Place("q[1].x").is_pattern
    assert Place("q?1].x").is_pattern
    assert Place("in*/c.tar").root == folder
    assert Place("inside/c.{tar}").root == folder / "inside"


def test_a_source_says_what_it_does():
    for ask in (lambda: Source().claims(Place("a")), lambda: Source().load(Place("a"), ReadOptions())):
        with pytest.raises(NotImplementedError):
            ask()
    assert Source.suffixes == ()


def test_a_file_is_looked_at_before_it_is_read(folder):
    (folder / "five.x").write_bytes(b"12345")
    assert check_file(folder / "five.x") == 5
    with pytest.raises(DataError, match=r"gone\.x: cannot be read \(No such file"):
        check_file(folder / "gone.x")
    with pytest.raises(DataError, match="inside: must be a"):
        check_file(folder / "inside")


def test_only_texts_may_be_packed():
    names = ("a.csv.gz", "a.JSON.GZ", "a.parquet.gz", "a.gz", "a.csv", "a")
    assert [Place(name).suffix for name in names] == [".csv", ".json", ".gz", ".gz", ".csv", ""]
