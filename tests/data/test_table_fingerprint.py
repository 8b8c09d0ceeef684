"""What a run notices of a table that has changed, and what it does not mind."""

import json
import os
from types import SimpleNamespace

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from data_helpers import fitted, npy, png, table_of
from perceiver_pytorch.data import (
    InputSpec,
    ReadOptions,
    SpecOptions,
    Splits,
    differences,
    fingerprint,
    load_table,
    recognise_columns,
    table_fingerprint,
)
from perceiver_pytorch.data.table import Table
from perceiver_pytorch.data.table_fingerprint import digest

LABELS = ["a", "b"] * 8


def taken(table, spec, splits=None):
    splits = splits or Splits(np.arange(12), np.arange(12, 16), np.arange(0))
    return json.loads(json.dumps(fingerprint(table, splits, spec)))


def columns(**changed):
    """A column of every kind of value."""
    arrow = {
        "number": [float(i) if i % 3 else None for i in range(16)],
        "count": list(range(16)),
        "word": [f"some words {i * 37}" if i % 5 else None for i in range(16)],
        "yes": [i % 2 == 0 for i in range(16)],
        "series": [[float(i), 2.0, None] if i % 4 else None for i in range(16)],
        "steps": [[[float(i), 1.0], [2.0, 3.0]] for i in range(16)],
        "picture": [{"bytes": png(np.full((6, 6), i, np.uint8)), "path": None} for i in range(16)],
        "label": LABELS,
    }
    return {**arrow, **changed}


def test_equal_tables_are_equal_however_arrow_keeps_them(tmp_path):
    table = table_of(tmp_path, **columns())
    spec, _ = fitted(table, "label")
    pieces = pyarrow.concat_tables([table.rows.slice(start, 5) for start in (0, 5, 10, 15)])
    assert pieces.column("number").num_chunks == 4
    assert not differences(taken(table, spec), taken(Table("again", tmp_path, pieces), spec))


@pytest.mark.parametrize("name", ["number", "count", "word", "yes", "series", "steps", "picture", "label"])
@pytest.mark.parametrize("gone", [False, True])
def test_another_value_is_noticed_and_its_column_named(tmp_path, name, gone):
    table = table_of(tmp_path, **columns())
    spec, _ = fitted(table, "label")
    cells = columns()[name]
    cells = [*cells[:7], None if gone else cells[8], *cells[8:]]
    other = table_of(tmp_path, **columns(**{name: cells}))
    assert differences(taken(table, spec), taken(other, spec)) == [f"the cells of {name!r} have changed"]


def test_values_that_move_from_row_to_row_are_noticed(tmp_path):
    table = table_of(tmp_path, x=[1.0, None, 3.0, 4.0] * 4, label=LABELS)
    spec, _ = fitted(table, "label")
    for cells in ([None, 1.0, 3.0, 4.0] * 4, [1.0, None, 4.0, 3.0] * 4):
        assert differences(taken(table, spec), taken(table_of(tmp_path, x=cells, label=LABELS), spec))


def test_columns_that_are_not_read_do_not_matter(tmp_path):
    table = table_of(tmp_path, x=list(range(16)), id=list(range(16)), label=LABELS)
    spec, _ = fitted(table, "label")
    other = table_of(tmp_path, more=["new"] * 16, x=list(range(16)), label=LABELS)
    assert not differences(taken(table, spec), taken(other, spec))


def test_files_of_cells_with_bytes_and_paths(tmp_path):
    for i in range(16):
        (tmp_path / f"{i}.png").write_bytes(png(np.full((6, 6), i, np.uint8)))
    data = png(np.zeros((6, 6), np.uint8))
    mixed = [{"bytes": data if i % 2 else None, "path": f"{i}.png"} if i % 5 else None for i in range(16)]
    plain = [{"bytes": None, "path": f"{i}.png"} for i in range(16)]
    only = [{"bytes": data} for _ in range(16)]
    for cells in (mixed, plain, only, pyarrow.array([f"{i}.png" for i in range(16)]).dictionary_encode()):
        table = table_of(tmp_path, picture=cells, label=LABELS)
        spec, _ = fitted(table, "label", kinds={"picture": "image"})
        before = taken(table, spec)
        for changed in (2, 3):
            content = (tmp_path / f"{changed}.png").read_bytes()
            (tmp_path / f"{changed}.png").write_bytes(content + b"more")
            noticed = cells is not only and not (cells is mixed and changed == 3)  # there the bytes count
            assert bool(differences(before, taken(table, spec))) == noticed
            (tmp_path / f"{changed}.png").write_bytes(content)


def test_of_many_files_some_are_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(table_fingerprint, "_OPENED", 4)
    for i in range(16):
        (tmp_path / f"{i}.npy").write_bytes(npy(np.full(5, float(i))))
    table = table_of(tmp_path, wave=[f"{i}.npy" for i in range(16)], label=LABELS)
    spec, _ = fitted(table, "label")
    before = taken(table, spec)
    (tmp_path / "3.npy").write_bytes(npy(np.full(5, 9.0)))
    assert not differences(before, taken(table, spec))
    (tmp_path / "4.npy").write_bytes(npy(np.full(5, 9.0)))
    assert differences(before, taken(table, spec)) == ["the files of 'wave' have changed"]


def test_a_column_that_is_gone_is_named(tmp_path):
    table = table_of(tmp_path, x=list(range(16)), word=[f"some words {i}" for i in range(16)], label=LABELS)
    spec, _ = fitted(table, "label")
    other = table_of(tmp_path, x=list(range(16)), label=LABELS)
    assert differences(taken(table, spec), taken(other, spec)) == ["it has no column 'word' any more"]


def test_more_rows_and_other_splits_are_noticed(tmp_path):
    table = table_of(tmp_path, x=list(range(16)), label=LABELS)
    spec, splits = fitted(table, "label")
    more = table_of(tmp_path, x=list(range(17)), label=[*LABELS, "a"])
    assert differences(taken(table, spec), taken(more, spec)) == ["it has 17 rows, and had 16"]
    swapped = Splits(splits.val, splits.train, splits.test)
    found = differences(taken(table, spec, splits), taken(table, spec, swapped))
    assert found == ["other rows are train, validation and test rows"]


def test_files_that_cells_lead_to_count_by_their_sizes_and_ends(tmp_path):
    for i in range(16):
        (tmp_path / f"{i}.npy").write_bytes(npy(np.full(5, float(i))))
    lines = [f"{i},{hour},{i + hour}" for i in range(16) for hour in (1, 2)]
    (tmp_path / "vitals.csv").write_text("\n".join(["who,hour,pulse", *lines]))
    cells = {"wave": [f"{i}.npy" for i in range(16)], "who": list(range(16)), "label": LABELS}
    table = table_of(tmp_path, **cells)
    options = {"series_file": "vitals.csv", "series_time": "hour"}
    kinds = {"wave": "series", "who": "series"}
    spec = InputSpec.fit(
        table,
        recognise_columns(table, target="label", split=None, overrides=kinds),
        target="label",
        rows=np.arange(16),
        options=SpecOptions(column_options={"who": options}),
    )
    before = taken(table, spec)
    os.utime(tmp_path / "3.npy", (1, 1))  # a copy has other times
    assert not differences(before, taken(table, spec))
    (tmp_path / "3.npy").write_bytes(npy(np.full(6, 3.0)))
    assert differences(before, taken(table, spec)) == ["the files of 'wave' have changed"]
    (tmp_path / "3.npy").write_bytes(npy(np.full(5, 3.5)))  # of the same size
    assert differences(before, taken(table, spec)) == ["the files of 'wave' have changed"]
    (tmp_path / "3.npy").unlink()
    assert differences(before, taken(table, spec)) == ["the files of 'wave' have changed"]
    (tmp_path / "3.npy").mkdir()
    assert differences(before, taken(table, spec)) == ["the files of 'wave' have changed"]
    (tmp_path / "3.npy").rmdir()
    (tmp_path / "3.npy").write_bytes(npy(np.full(5, 3.0)))
    assert not differences(before, taken(table, spec))
    text = (tmp_path / "vitals.csv").read_text()
    (tmp_path / "vitals.csv").write_text(text.replace("3,1,4", "3,1,5"))
    assert differences(before, taken(table, spec)) == ["the files of 'vitals.csv' have changed"]


def test_shards_count_by_names_sizes_and_ends(tmp_path):
    def write(name, start):
        rows = pyarrow.table({"x": [float(i) for i in range(start, start + 8)], "label": LABELS[:8]})
        pyarrow.parquet.write_table(rows, tmp_path / name)

    def now(pattern="*.parquet"):
        table = load_table(str(tmp_path / pattern), ReadOptions(stream=True))
        return taken(table, spec)

    for i in range(3):
        write(f"{i}.parquet", 8 * i)
    spec, _ = fitted(load_table(str(tmp_path / "0.parquet")), "label")
    before = now()
    assert not differences(before, now())
    write("1.parquet", 9)
    assert differences(before, now()) == ["shards hold something else: 1.parquet"]
    write("1.parquet", 8)
    (tmp_path / "1.parquet").rename(tmp_path / "3.parquet")
    assert differences(before, now()) == ["shards are gone: 1.parquet"]
    (tmp_path / "3.parquet").rename(tmp_path / "1.parquet")
    assert differences(before, now("{1,0,2}.parquet")) == ["its shards are in another order"]
    assert not differences(before, now("{0,1,2}.parquet"))


def test_what_another_version_took_is_not_compared(tmp_path):
    table = table_of(tmp_path, x=list(range(16)), label=LABELS)
    spec, _ = fitted(table, "label")
    assert not differences({"version": 0}, taken(table, spec))


def test_run_folders_keep_what_was_taken_of_their_tables(tmp_path):
    """Another value for the same table would refuse to resume every run that has begun."""
    for i in (0, 2):
        (tmp_path / f"{i}.npy").write_bytes(b"\x93NUMPY" + bytes([i]) * 2000)
    table = table_of(
        tmp_path,
        x=[1.5, None, 2.0],
        n=[1, 2, 3],
        w=["a", None, "b"],
        l=[[1.0], [], None],
        b=[b"x" * 600, b"y", None],
        p=["0.npy", "gone.npy", "2.npy"],
        y=["a", "b", "a"],
    )
    leading, further = {"file_columns": ["p", "b"], "files": []}, {"file_columns": [], "files": ["0.npy", "no"]}
    modalities = [SimpleNamespace(**leading), SimpleNamespace(**further)]
    spec = SimpleNamespace(columns=[*"xnwlbp", "gone"], targets=[SimpleNamespace(name="y")], modalities=modalities)
    splits = Splits(np.array([0, 1]), np.array([2]), np.array([], dtype=np.int64))
    none = "cae66941d9efbd404e4d88758ea67670"
    assert fingerprint(table, splits, spec) == {
        "version": 2,
        "rows": 3,
        "splits": {
            "train": {"rows": 2, "digest": "844eff2a9399f540c125495c39f16618"},
            "val": {"rows": 1, "digest": "fc069c24352798859c017ce862813d3b"},
            "test": {"rows": 0, "digest": none},
        },
        "columns": {
            "x": "ae48dacd549f0ed229b5cbe1fd14826e",
            "n": "b8daaef19edd10f7bc3f4075045cfea1",
            "w": "3dcd1ae19b0df04ec88325c9e585d60e",
            "l": "c5d26786c8b2e4c57036cd5777a1b5df",
            "b": "95d2f79c5a422eaa247ef44ecfcf42d4",
            "p": "48486d963bd88f7df784c47bedcda385",
            "y": "3b1993e332d58701e12901b066f6f54a",
        },
        "files": {
            "p": "2ce4a3c6c4d2b5745312b42ad9c50292",
            "b": none,
            "0.npy": "02ba6a79980f3312c1e37c42b05d28ba",
            "no": "",
        },
    }
    path = tmp_path / "0.npy"
    assert table_fingerprint._shard(path) == [2006, table_fingerprint._hex(path.read_bytes() + path.read_bytes())]
    assert table_fingerprint.file_ends(path, 7) == b"\x93NUMPY\0" + bytes(7)
    assert (table_fingerprint.file_ends(tmp_path / "no", 7), table_fingerprint.file_size(tmp_path / "no")) == (b"", -1)
    assert (table_fingerprint.file_size(path), table_fingerprint.file_size(tmp_path)) == (2006, -1)
    assert table_fingerprint._name(tmp_path / "a/b", tmp_path) == "a/b"
    assert table_fingerprint._name(tmp_path, tmp_path / "a") == tmp_path.name


def test_shards_that_differ_are_named_up_to_three():
    def told(before, now):
        made = [{"version": 2, "rows": 1, "splits": {}, "shards": shards} for shards in (before, now)]
        return differences(*made)

    old = [[f"{i}.x", 1, "d"] for i in range(5)]
    assert told(old, old) == []
    assert told(old, old[:2]) == ["shards are gone: 2.x, 3.x, 4.x"]
    assert told(old, old[:1]) == ["shards are gone: 1.x, 2.x, 3.x and 1 more"]
    assert told(old[:3], old) == ["shards are new: 3.x, 4.x"]
    assert told(old, [[name, 2, "d"] for name, *_ in old]) == ["shards hold something else: 0.x, 1.x, 2.x and 2 more"]
    assert told(old, old[::-1]) == ["its shards are in another order"]
    for before, now in ((old, None), (None, old)):
        assert told(before, now) == ["its rows were in memory and now stay on the disk, or the other way round"]


def test_everything_that_differs_is_told():
    before = {"version": 2, "rows": 3, "splits": {"a": 1}, "files": {"f": 1, "g": 1}}
    before["columns"] = {"x": 1, "y": 1, "z": 1}
    now = {**before, "splits": {"a": 2}, "columns": {"y": 2, "z": 2, "new": 1}, "files": {"f": 2}}
    assert differences(before, now) == [
        "it has no column 'x' any more",
        "the cells of 'y', 'z' have changed",
        "the files of 'f' have changed",
        "other rows are train, validation and test rows",
    ]
    assert differences(before, {**now, "version": 3}) == []
    assert differences(before, {**now, "rows": 1234}) == ["it has 1,234 rows, and had 3"]


@pytest.mark.parametrize(
    ("cells", "paths"),
    [
        (["a", None, "b"], ["a", None, "b"]),
        ([1, 2], [None, None]),
        ([b"a", None], [None, None]),
        ([{"path": "a", "bytes": None}, {"path": "b", "bytes": b"1"}, None], ["a", None, None]),
        ([{"path": "a", "bytes": b""}], ["a"]),
        ([{"path": "a"}], ["a"]),
        ([{"bytes": b"1"}], [None]),
    ],
)
def test_paths_are_of_files_that_are_not_in_the_cells(cells, paths, monkeypatch):
    column = pyarrow.chunked_array([pyarrow.array(cells)])
    assert list(table_fingerprint._paths(column)) == paths
    monkeypatch.setattr(table_fingerprint, "_ROWS", 1)
    assert list(table_fingerprint._paths(column)) == paths


def test_a_digest_is_of_all_columns_and_of_the_files_of_their_cells(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"1")
    table = tmp_path / "table.csv"
    table.write_text("x,file\n1,a.bin\n2,\n")
    first = digest(load_table(table))
    assert digest(load_table(table)) == first
    (tmp_path / "a.bin").write_bytes(b"2")
    assert digest(load_table(table)) != first
    (tmp_path / "a.bin").write_bytes(b"1")
    table.write_text("x,file\n1,a.bin\n3,\n")
    assert digest(load_table(table)) != first
