import numpy as np
import pytest

from data_helpers import fitted, png, table_of, write_table
from perceiver_pytorch.data import DataError, ImageSpec, InputSpec, Table, TableDataset


def test_samples_are_those_of_the_rows(av_table):
    spec, splits = fitted(av_table, "label")
    data = TableDataset(av_table, splits.val, spec)
    assert len(data) == 10
    sample = data[3]
    assert (sample.row, sample.targets) == (43, {"label": 3})
    assert set(sample.inputs) == {"image", "audio", "categories"}
    before = [data[i] for i in range(10)]
    assert data.prepare() == []
    for old, new in zip(before, [data[i] for i in range(10)], strict=True):
        assert (old.row, old.targets) == (new.row, new.targets)
        for name, encoded in old.inputs.items():
            assert np.array_equal(encoded.values, new.inputs[name].values)


def test_preparing_keeps_samples_within_the_limit(av_table, monkeypatch):
    spec, splits = fitted(av_table, "label")
    roomy, tight = (TableDataset(av_table, splits.train, spec, cache_bytes=n) for n in (1 << 30, 0))
    for data in (roomy, tight):
        data.prepare()
    calls = []
    original = ImageSpec.encode
    monkeypatch.setattr(ImageSpec, "encode", lambda *args: calls.append(1) or original(*args))
    assert [roomy[i].row for i in range(40)] == [tight[i].row for i in range(40)]
    assert len(calls) == 40  # the tight one decodes again


def test_equal_cells_are_decoded_once_and_shared(tmp_path, monkeypatch):
    pictures = [png(np.full((4, 4), v, np.uint8)) for v in (1, 2)]
    table = table_of(tmp_path, y=["a", "b"] * 10, x=[pictures[i // 10] for i in range(20)])
    spec = InputSpec.fit(table, {"x": "image"}, target="y", rows=np.arange(20))
    calls = []
    original = ImageSpec.encode
    monkeypatch.setattr(ImageSpec, "encode", lambda *args: calls.append(1) or original(*args))
    data = TableDataset(table, np.arange(20), spec)
    data.prepare()
    assert len(calls) == 2
    assert data[0].inputs["x"] is data[9].inputs["x"]


def test_progress_ends_with_all_rows(av_table):
    spec, splits = fitted(av_table, "label")
    seen = []
    TableDataset(av_table, splits.train, spec).prepare(lambda done, total: seen.append((done, total)))
    assert seen == [(0, 40), (40, 40)]


def test_cut_cells_are_counted(tmp_path):
    table = write_table(
        tmp_path,
        "y,words,split\n" + "0,some words here now,train\n1,and some more of them,train\n" + f"0,{'x' * 99},val\n",
    )
    spec = InputSpec.fit(table, {"words": "text"}, target="y", rows=np.arange(2))
    data = TableDataset(table, np.arange(3), spec)
    data.prepare()
    assert data.changes == {"words": {"cut": 1}}


def test_the_first_bad_row_stops(av_table):
    spec, splits = fitted(av_table, "label")
    (av_table.root / "images/7.png").write_bytes(b"broken")
    data = TableDataset(av_table, splits.train, spec)
    with pytest.raises(DataError, match=r"manifest\.csv: row 7, column 'image': the image cannot be decoded"):
        data.prepare()


def test_bad_rows_are_skipped_and_told(av_table):
    spec, splits = fitted(av_table, "label")
    (av_table.root / "images/7.png").write_bytes(b"broken")
    (av_table.root / "audio/9.wav").unlink()
    data = TableDataset(av_table, splits.train, spec, on_error="skip")
    bad = data.prepare()
    assert [(entry.row, entry.column) for entry in bad] == [(7, "image"), (9, "audio")]
    assert "no file 'audio/9.wav'" in bad[1].reason
    assert len(data) == 38
    assert {7, 9}.isdisjoint(data[i].row for i in range(38))


def test_all_rows_bad_is_an_error(av_table):
    spec, splits = fitted(av_table, "label")
    moved = Table(av_table.source, av_table.root / "images", av_table.rows)
    with pytest.raises(DataError, match=r"none of the 40 rows can be used; the first: .*row 0"):
        TableDataset(moved, splits.train, spec, on_error="skip").prepare()


def test_missing_cells_are_none(tmp_path):
    table = table_of(tmp_path, y=[0, 1, 0], x=[1.0, 2.0, None], words=["a", None, "b"])
    spec = InputSpec.fit(table, {"x": "number", "words": "text"}, target="y", rows=np.arange(2))
    data = TableDataset(table, np.arange(3), spec)
    assert data[1].inputs["words"] is None
    assert data[2].inputs["numbers"] is None


def test_targets_that_train_never_had(tmp_path):
    table = table_of(tmp_path, y=["a", "b", "c", None], x=[1, 2, 3, 4])
    spec = InputSpec.fit(table, {"x": "number"}, target="y", rows=np.arange(2))
    data = TableDataset(table, np.arange(4), spec)
    with pytest.raises(DataError, match=r"row 2, column 'y': the class 'c' is none of .*\(a, b\)"):
        data[2]
    with pytest.raises(DataError, match=r"row 3, column 'y': the target is missing"):
        data[3]
    free = TableDataset(table, np.arange(4), spec, require_target=False)
    assert [int(free[i].targets["y"]) for i in range(4)] == [0, 1, -1, -1]
    without = table_of(tmp_path, x=[1, 2])
    assert TableDataset(without, np.arange(2), spec, require_target=False)[1].targets["y"] == -1
    with pytest.raises(DataError, match="no column 'y'"):
        TableDataset(without, np.arange(2), spec)


def test_a_table_without_an_input_column_is_refused(tmp_path):
    table = table_of(tmp_path, y=[0, 1], x=[1, 2])
    spec = InputSpec.fit(table, {"x": "number"}, target="y", rows=np.arange(2))
    with pytest.raises(DataError, match="no column 'x'"):
        TableDataset(table_of(tmp_path, y=[0, 1], z=[1, 2]), np.arange(2), spec)
    with pytest.raises(DataError, match="on_error"):
        TableDataset(table, np.arange(2), spec, on_error="ignore")
