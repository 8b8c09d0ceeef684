import multiprocessing
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from data_helpers import fitted, png, table_of, write_table
from perceiver_pytorch._processes import DecodingMemoryError
from perceiver_pytorch.data import (
    DataError,
    Encoded,
    ImageSpec,
    InputSpec,
    Sample,
    SpecOptions,
    Table,
    TableDataset,
    dataset,
)
from perceiver_pytorch.data import workers as processes
from perceiver_pytorch.data.losses import Change


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
    assert (seen[0], seen[-1]) == ((0, 40), (40, 40))


@pytest.fixture
def always_worth(monkeypatch):
    """Processes are started however little there is to decode."""
    monkeypatch.setattr(dataset, "_WORTH_WORKERS", -1.0)
    monkeypatch.setattr(dataset, "_PORTION_BYTES", 3000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about forking where there are threads
        yield


def prepared(table, rows, spec, workers, **options):
    data = TableDataset(table, rows, spec, workers=workers, **options)
    seen = []
    bad = data.prepare(lambda done, total: seen.append((done, total, len(multiprocessing.active_children()))))
    assert (seen[0][2], seen[-1][:2]) == (workers, (len(rows), len(rows)))
    return data, bad


@pytest.mark.parametrize("cache_bytes", [1 << 30, 20_000, 0])
def test_workers_prepare_what_one_process_does(tmp_path, always_worth, cache_bytes):
    rng = np.random.default_rng(0)
    pictures = [png(rng.integers(0, 255, (9, 7 + i), dtype=np.uint8)) for i in range(6)]
    table = table_of(
        tmp_path,
        x=[b"no picture" if i in (5, 50) else None if i == 9 else pictures[i % 6] for i in range(60)],
        size=[float(i) for i in range(60)],
        y=[None if i == 20 else "ab"[i % 2] for i in range(60)],
    )
    spec = InputSpec.fit(table, {"x": "image", "size": "number"}, target="y", rows=np.arange(20))
    (one, bad), (two, same_bad) = (
        prepared(table, np.arange(60), spec, workers, on_error="skip", cache_bytes=cache_bytes) for workers in (0, 2)
    )
    assert bad == same_bad
    assert [entry.row for entry in bad] == [5, 20, 50]
    assert (one._free_bytes, list(one._samples)) == (two._free_bytes, list(two._samples))
    assert one.losses.lines(harmless=True) == two.losses.lines(harmless=True) != []
    for i in range(len(one)):
        assert (one[i].row, one[i].targets) == (two[i].row, two[i].targets)
        for name, encoded in one[i].inputs.items():
            other = two[i].inputs[name]
            assert encoded is other is None or np.array_equal(encoded.values, other.values)
    if cache_bytes == 1 << 30:
        for data in (one, two):  # equal cells are one array, whoever decoded them
            assert data._samples[0].inputs["x"] is data._samples[54].inputs["x"]
    assert not multiprocessing.active_children()


def test_a_bad_row_that_a_worker_meets_stops_as_in_one_process(av_table, always_worth):
    spec, splits = fitted(av_table, "label")
    (av_table.root / "images/7.png").write_bytes(b"broken")
    (av_table.root / "images/30.png").write_bytes(b"broken")
    told = []
    for workers in (0, 2):
        with pytest.raises(DataError) as error:
            TableDataset(av_table, splits.train, spec, workers=workers).prepare()
        told.append((str(error.value), error.value.row, error.value.column, error.value.reason))
    assert told[0] == told[1]
    assert told[0][1:3] == (7, "image")
    assert not multiprocessing.active_children()


def test_an_interrupt_ends_the_workers(av_table, always_worth):
    spec, splits = fitted(av_table, "label")

    def interrupt(done, total):
        assert len(multiprocessing.active_children()) == 2
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TableDataset(av_table, splits.train, spec, workers=2).prepare(interrupt)
    assert not multiprocessing.active_children()


def test_little_to_decode_starts_no_process(av_table):
    spec, splits = fitted(av_table, "label")
    for workers in (None, 0, 2):
        data = TableDataset(av_table, splits.train, spec, workers=workers)
        data.prepare(lambda done, total: pytest.fail("a process") if multiprocessing.active_children() else None)


def test_cut_cells_are_counted(tmp_path):
    table = write_table(
        tmp_path,
        "y,words,split\n" + "0,some words here now,train\n1,and some more of them,train\n" + f"0,{'x' * 99},val\n",
    )
    options = SpecOptions(text_units="bytes")
    spec = InputSpec.fit(table, {"words": "text"}, target="y", rows=np.arange(2), options=options)
    data = TableDataset(table, np.arange(3), spec)
    data.prepare()
    assert [(count.column, count.what, count.rows) for count in data.losses.counts()] == [("words", "cut", 1)]


def test_the_first_bad_row_stops(av_table):
    spec, splits = fitted(av_table, "label")
    (av_table.root / "images/7.png").write_bytes(b"broken")
    data = TableDataset(av_table, splits.train, spec)
    with pytest.raises(DataError, match=r"manifest\.csv: row 7, column 'image': the image cannot be decoded") as error:
        data.prepare()
    assert str(error.value).endswith(", file 'images/7.png'; --on-error skip leaves such rows out")


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
    with pytest.raises(DataError, match="workers must be 0 or more, got -1"):
        TableDataset(table, np.arange(2), spec, workers=-1)
    with pytest.raises(DataError, match="on_error"):
        TableDataset(table, np.arange(2), spec, on_error="ignore")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PermissionError(13, "Permission denied"), None),
        (OSError(36, "File name too long"), None),
        (OSError(24, "Too many open files"), OSError),
        (ChildProcessError("no process"), ChildProcessError),
        (MemoryError("no room"), DecodingMemoryError),
    ],
)
def test_what_a_file_does_is_a_bad_row_and_what_the_computer_lacks_is_not(av_table, monkeypatch, error, expected):
    """Whatever the kind does: one from a package of others may open files by itself."""
    spec, splits = fitted(av_table, "label")

    def refuse(spec, row, where):
        raise error

    monkeypatch.setattr(ImageSpec, "encode", refuse)
    data = TableDataset(av_table, splits.val, spec, on_error="skip", workers=0)
    if expected is None:
        _, bad = data.samples([0])
        assert (bad[0].column, bad[0].reason[: len("a file cannot")]) == ("image", "a file cannot")
    else:
        with pytest.raises(expected, match=r"no process|Too many|too little memory to decode row .*no room"):
            data.samples([0])


def numbers(tmp_path, count=20, **options):
    table = table_of(tmp_path, y=["a", "b"] * (count // 2), x=[float(i) for i in range(count)])
    spec = InputSpec.fit(table, {"x": "number"}, target="y", rows=np.arange(count))
    return TableDataset(table, np.arange(count), spec, **options)


def test_by_default_a_bad_row_stops_and_a_gigabyte_is_kept(tmp_path):
    data = numbers(tmp_path)
    assert (data.on_error, data.allow_outside, data.require_target, data.workers) == ("raise", False, True, None)
    assert (data._free_bytes, data.cell_bytes, data.prepared, data.bad) == (1 << 30, 512 << 20, False, {})
    data.prepare()
    assert data.prepared
    assert data.losses.rows == 20


@pytest.mark.parametrize(("rows", "times"), [(16, 1), (20, 2)])
def test_few_rows_are_decoded_once(tmp_path, monkeypatch, rows, times):
    """Those that tell how much memory all would take are not decoded again."""
    data = numbers(tmp_path)
    data.rows = data.rows[:rows]
    decoded = []
    decode = TableDataset._sample

    def counted(self, row, cells):
        decoded.append(row)
        return decode(self, row, cells)

    monkeypatch.setattr(TableDataset, "_sample", counted)
    assert data.fits()
    assert data.prepare() == []
    assert sorted(data._samples) == list(range(rows))
    assert len(decoded) == rows + (0 if times == 1 else 16)
    assert (len(data._judged), data.losses.rows) == (0, rows)


def test_what_does_not_fit_is_let_go(tmp_path):
    data = numbers(tmp_path, cache_bytes=99)
    data.rows = data.rows[:3]
    assert not data.fits()
    assert data._judged == {}
    assert [data[i].row for i in range(3)] == [0, 1, 2]


def test_a_sample_is_kept_if_all_of_it_fits(tmp_path):
    each = 600 + 12  # Python's objects around the row and its array; three of float32
    for room, kept in ((each - 1, 0), (each, 1), (2 * each - 1, 1), (2 * each, 2)):
        data = numbers(tmp_path, cache_bytes=room)
        data.prepare()
        assert list(data._samples) == list(range(kept))
        assert data._free_bytes == room - kept * each
        data[0]  # a row that is kept takes its place once
        assert data._free_bytes == room - kept * each
    assert numbers(tmp_path, cache_bytes=20 * each).fits()
    assert not numbers(tmp_path, cache_bytes=20 * each - 1).fits()
    shared = numbers(tmp_path, cache_bytes=99)
    shared.share_cache(2)
    assert shared._free_bytes == 49


def test_what_rows_cost_is_judged_by_some_that_can_be_read(tmp_path):
    table = table_of(tmp_path, y=["a", "b"] * 20, x=["1", *["oops"] * 4, *(str(i) for i in range(35))])
    spec = InputSpec.fit(table, {"x": "number"}, target="y", rows=np.arange(5, 40))
    data = TableDataset(table, np.arange(40), spec)
    assert data._usual_row.nbytes == 612
    assert 0 <= data._usual_row.seconds < 1
    nothing = TableDataset(table, np.arange(1, 5), spec)
    assert nothing._usual_row.nbytes == 0


def test_cells_that_lead_to_nothing_count_as_missing_and_are_told(tmp_path):
    table = table_of(tmp_path, y=["a", "b"] * 4, x=[[1.0, 2.0], [None], [], None] * 2)
    spec = InputSpec.fit(table, {"x": "series"}, target="y", rows=np.arange(8))
    data = TableDataset(table, np.arange(8), spec)
    assert [data[i].emptied for i in range(4)] == [(), ("x",), (), ()]
    (change,) = data[1].changes
    assert change == ("x", Change("empty"))
    data.prepare()
    assert data.losses.lines() == [
        "2 of 8 rows (rows 1, 5): cells of 'x' hold or lead to nothing that can be read, and count as missing"
    ]


def test_changes_name_their_modality():
    inputs = {"a": Encoded(np.zeros(1), changes=("cut", Change("clipped", "c", "9"))), "b": None}
    sample = Sample(inputs, {}, 3, ("b",))
    assert sample.changes == [("b", Change("empty")), ("a", Change("cut")), ("a", Change("clipped", "c", "9"))]


def test_several_targets_may_be_missing_but_not_all(tmp_path):
    table = table_of(tmp_path, y=["a", "b", None, None], z=["p", None, "q", None], x=[1.0, 2, 3, 4])
    spec = InputSpec.fit(table, {"x": "number"}, target=["y", "z"], rows=np.arange(3))
    data = TableDataset(table, np.arange(4), spec)
    assert [int(data[i].targets["y"]) for i in range(3)] == [0, 1, -1]
    with pytest.raises(DataError, match=r"row 3, column 'y': all targets are missing \(y, z\)"):
        data[3]
    without = table_of(tmp_path, y=["a", "b"], x=[1.0, 2.0])
    assert int(TableDataset(without, np.arange(2), spec)[1].targets["z"]) == -1
    neither = table_of(tmp_path, x=[1.0, 2.0])
    with pytest.raises(DataError, match="no column 'y'"):
        TableDataset(neither, np.arange(2), spec)
    assert TableDataset(neither, np.arange(2), spec, require_target=False)[0].row == 0


def test_processes_are_started_where_it_pays(tmp_path, monkeypatch):
    def asked(count=20, seconds=1.0, cores=4, **options):
        monkeypatch.setattr(processes, "usable_cores", lambda: cores)
        data = numbers(tmp_path, 20, **options)
        data.rows = data.rows[:count]
        data.__dict__["_usual_row"] = dataset.UsualRow(604.0, seconds)
        return data._preparing_workers()

    assert asked() == 4
    assert asked(cores=99) == 8
    assert asked(cores=2) == 2
    assert asked(cores=1) == 0
    assert asked(workers=1) == 1
    assert asked(workers=0) == 0
    assert asked(count=16) == 0
    assert asked(count=17) == 4
    assert asked(seconds=0.1) == 0  # two seconds in all
    assert asked(seconds=0.101) == 4


def test_portions_hold_a_few_megabytes_and_256_rows_at_most(tmp_path, monkeypatch):
    portions = []

    def in_workers(decode, parts, workers):
        portions.append((list(map(len, parts)), workers))
        yield from map(decode, parts)

    monkeypatch.setattr(dataset, "in_workers", in_workers)
    data = numbers(tmp_path, 600)
    for nbytes in (1.0, (4 << 20) / 250, 9 << 20):
        data.__dict__["_usual_row"] = dataset.UsualRow(nbytes, 1.0)
        assert [row for row, _ in data._read_in_workers(3)] == list(range(600))
    assert portions == [([256, 256, 88], 3), ([250, 250, 100], 3), ([1] * 600, 3)]
    there = data._for_worker()
    assert (there._free_bytes, there._samples, there._decoded) == (64 << 20, {}, {})
    assert numbers(tmp_path, cache_bytes=5)._for_worker()._free_bytes == 5


def test_progress_is_told_now_and_then(tmp_path, monkeypatch):
    clock = iter(np.arange(1000) * 0.15)
    monkeypatch.setattr(dataset, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    seen = []
    numbers(tmp_path, 10, workers=0).prepare(lambda done, total: seen.append(done))
    assert seen == [0, 2, 4, 6, 8, 10]


def test_a_bad_row_says_what_would_leave_it_out(tmp_path):
    data = numbers(tmp_path)
    bad = dataset.BadRow(3, "x", "it is odd")
    assert str(data.error(bad)).endswith("row 3, column 'x': it is odd; --on-error skip leaves such rows out")
    skipping = numbers(tmp_path, on_error="skip")
    error = skipping.error(dataset.BadRow(3, None, "it is odd"))
    assert str(error).endswith("row 3: it is odd")
    assert (error.row, error.column, error.reason) == (3, None, "it is odd")


def test_a_missing_cell_costs_its_object_alone():
    cell = Encoded(np.zeros(5, dtype=np.float32))
    assert dataset._cost(None) == dataset._OBJECT_BYTES
    assert dataset._cost(cell) == dataset._OBJECT_BYTES + cell.nbytes
