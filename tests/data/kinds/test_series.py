import contextlib
import dataclasses
import datetime
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data_helpers import WHOLE, check_bounds, declared, fitted, npy, table_of, write_table
from perceiver_pytorch.data import (
    DataError,
    SeriesSpec,
    SpecOptions,
    TableDataset,
    Where,
    collate,
    drawing,
    load_table,
    recognise_columns,
)
from perceiver_pytorch.data.kinds.series import SeriesAugmentation, SeriesKind, SeriesSettings, SeriesSource

WHERE = Where("here.csv", Path("/nowhere"), 17)
PLAIN = SeriesSpec("x", 4, (0.0,), (1.0,))
WIDE = SeriesSpec("x", 4, (0.0, 1.0), (1.0, 2.0), gaps=True)
TIMED = SeriesSpec("x", 4, (0.0,), (1.0,), span=10.0, step=1.0, time="t")


def rows_of(count, width=None, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(3 + i % 5,) if width is None else (3 + i % 5, width)).cumsum(0) for i in range(count)]


@pytest.mark.parametrize(
    "cell", [[1.0, 2, 3], (1, 2, 3), "[1, 2, 3]", npy(np.array([1, 2, 3])), np.array([1.0, 2, 3]), [[1], [2], [3]]]
)
def test_every_form_of_an_array_is_read(cell):
    encoded = PLAIN.encode({"x": cell}, WHERE)
    assert encoded.values.tolist() == [[1], [2], [3]]
    assert (encoded.mask, encoded.coordinates, encoded.changes) == (None, None, ())


def test_files_are_read_where_the_table_is(tmp_path):
    np.save(tmp_path / "a.npy", np.array([1, 2, 3], np.int16))
    where = Where("here.csv", tmp_path, 17)
    assert PLAIN.encode({"x": "a.npy"}, where).values.tolist() == [[1], [2], [3]]
    with pytest.raises(DataError, match="row 17, column 'x': there is no file"):
        PLAIN.encode({"x": "b.npy"}, where)


def test_values_are_standardised_and_gaps_flagged():
    encoded = WIDE.encode({"x": [[1.0, 3.0], [None, 1.0], [float("nan")] * 2]}, WHERE)
    assert encoded.values.tolist() == [[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]
    assert encoded.mask.tolist() == [True, True, False]


def test_longer_series_are_cut_and_absurd_values_clipped():
    encoded = PLAIN.encode({"x": [1, 2, 3, 4, 500]}, WHERE)
    assert (len(encoded.values), encoded.changes) == (4, ("cut",))
    assert PLAIN.encode({"x": [500]}, WHERE).changes == ("clipped",)


def test_values_near_the_largest_number_are_clipped_without_a_word_of_numpys():
    spec = SeriesSpec("x", 4, (-1.0,), (0.1,))
    encoded = spec.encode({"x": [1.7e308, -1.7e308]}, WHERE)
    assert encoded.changes == ("clipped",)
    assert np.isfinite(encoded.values).all()
    assert encoded.values[0, 0] == -encoded.values[1, 0] > 0


def test_time_stamps_are_places_on_the_axis():
    row = {"x": [1, 2, 3], "t": [100.0, 105.0, 110.0]}
    encoded = TIMED.encode(row, WHERE)
    np.testing.assert_allclose(encoded.coordinates[0], [-1, 0, 1])
    shuffled = TIMED.encode({"x": [2, 3, 1], "t": [105.0, 110.0, 100.0]}, WHERE)
    assert np.array_equal(shuffled.values, encoded.values)
    dates = [datetime.datetime(2020, 1, 1, 0, 0, second) for second in (0, 5, 10)]
    np.testing.assert_allclose(TIMED.encode(row | {"t": dates}, WHERE).coordinates[0], [-1, 0, 1])
    iso = [date.isoformat() for date in dates]
    np.testing.assert_allclose(TIMED.encode(row | {"t": iso}, WHERE).coordinates[0], [-1, 0, 1])
    later = TIMED.encode(row | {"t": [0.0, 5.0, 11.0]}, WHERE)
    assert (len(later.values), later.changes) == (2, ("cut",))


def test_a_cell_may_bring_its_time_stamps():
    spec = SeriesSpec("x", 4, (0.0,), (1.0,), span=10.0, step=1.0)
    encoded = spec.encode({"x": {"values": [1, 2], "time": [0, 5]}}, WHERE)
    np.testing.assert_allclose(encoded.coordinates[0], [-1, 0])


@pytest.mark.parametrize(
    ("spec", "row", "message"),
    [
        (PLAIN, {"x": "[1, 2"}, "no JSON array"),
        (PLAIN, {"x": [[1, 2], [3]]}, "rows of one length"),
        (PLAIN, {"x": ["a"]}, "array of numbers"),
        (PLAIN, {"x": [1, float("inf")]}, "infinite one at step 1"),
        (PLAIN, {"x": [[1, 2]]}, "series of 1 channels, got 2"),
        (PLAIN, {"x": [[[1]]]}, r"got one of shape \(1, 1, 1\)"),
        (PLAIN, {"x": npy(np.array([1, 2, 3]))[:70]}, "cannot be read"),
        (PLAIN, {"x": npy(np.array(["a"]))}, "array of numbers"),
        (PLAIN, {"x": 3}, r"array of numbers \(a list, .*, got a value of type int"),
        (TIMED, {"x": [1, 2], "t": [1]}, "got 1 for 2 steps"),
        (TIMED, {"x": [1, 2], "t": [1, None]}, "time stamp"),
        (TIMED, {"x": [1, 2], "t": ["now", "then"]}, "a date"),
        (TIMED, {"x": [1, 2], "t": None}, "time stamps are missing"),
    ],
)
def test_damage_is_named_with_its_row(spec, row, message):
    with pytest.raises(DataError, match=rf"here.csv: row 17, column '[xt]': .*{message}"):
        spec.encode(row, WHERE)


@pytest.mark.parametrize("cell", [None, "", [], "[]", [None, None], {"bytes": None, "path": None}])
def test_empty_cells_are_missing(cell):
    assert PLAIN.encode({"x": cell}, WHERE) is None


def test_arrays_are_never_unpickled():
    data = npy(np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="array of numbers, got one of object"):
        PLAIN.encode({"x": data}, WHERE)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8), st.integers(0, 300))
@settings(max_examples=200, deadline=None)
def test_mutated_files_are_read_or_refused(changes, length):
    content = bytearray(npy(np.arange(12.0)))
    for place, value in changes:
        content[place % len(content)] = value
    with contextlib.suppress(DataError):
        PLAIN.encode({"x": bytes(content[: max(1, length)])}, WHERE)


def test_moments_length_and_axis_are_learned(tmp_path):
    values = rows_of(20, 2)
    times = [np.sort(np.random.default_rng(i).random(len(v)) * 9) + 1000 * i for i, v in enumerate(values)]
    table = table_of(tmp_path, x=[v.tolist() for v in values], t=[t.tolist() for t in times], y=["a", "b"] * 10)
    spec, splits = fitted(table, "y", options=SpecOptions(series_time="t"))
    (series,) = spec.modalities
    train = np.concatenate([values[i] for i in splits.train])
    np.testing.assert_allclose(series.means, train.mean(0))
    np.testing.assert_allclose(series.stds, train.std(0))
    assert series.length == max(len(values[i]) for i in splits.train)
    assert series.span == pytest.approx(max(np.ptp(times[i]) for i in splits.train))
    assert series.columns == ("x", "t")
    batch = collate([TableDataset(table, splits.train, spec)[i] for i in range(4)], spec)
    (places,) = batch.coordinates["x"]
    assert places.shape == batch.inputs["x"].shape[:2]


def test_a_table_in_long_format(tmp_path):
    lines = ["patient,hour,pulse,kind,heat"]
    for patient in range(12):
        for hour in (2, 0, 1):
            lines.append(f"{patient},{hour},{60 + patient},x,{'' if hour == 1 else 37}")
    (tmp_path / "vitals.csv").write_text("\n".join(lines))
    table = write_table(tmp_path, "patient,y\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(14)))
    options = SpecOptions(column_options={"patient": {"series_file": "vitals.csv", "series_time": "hour"}})
    spec, _ = fitted(table, "y", kinds={"patient": "series"}, options=options)
    (series,) = spec.modalities
    assert (series.length, series.columns, series.span, series.gaps) == (3, ("patient",), 2.0, True)
    encoded = series.encode({"patient": 3}, Where("here.csv", tmp_path, 0))
    np.testing.assert_allclose(encoded.coordinates[0], [-1, 0, 1])
    assert encoded.values[:, 3].tolist() == [0, 1, 0]  # no heat at hour 1
    assert series.encode({"patient": 13}, Where("here.csv", tmp_path, 0)) is None
    (tmp_path / "vitals.csv").unlink()
    with pytest.raises(DataError, match=r"no file 'vitals.csv'"):
        series.encode({"patient": 3}, Where("here.csv", tmp_path, 0))


def test_kinds_by_value(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "arrays.parquet"
    import pyarrow.parquet

    pyarrow.parquet.write_table(
        pa.table(
            {
                "flat": [v.tolist() for v in rows_of(20)],
                "wide": [v.tolist() for v in rows_of(20, 3)],
                "walk": [rng.normal(size=(40, 3)).cumsum(0).tolist() for _ in range(20)],
                "scan": [rng.normal(size=(40, 3)).tolist() for _ in range(20)],
                "lidar_points": [v.tolist() for v in rows_of(20, 3)],
                "text": [json.dumps(v.tolist()) for v in rows_of(20)],
                "file": [npy(v) for v in rows_of(20)],
                "both": [{"values": [1.0, 2.0], "time": [0.0, 1.0]}] * 20,
                "names": [["a", "b"]] * 20,
                "deep": [[[[1.0]]]] * 20,
                "y": ["a", "b"] * 10,
            }
        ),
        path,
    )
    assert recognise_columns(load_table(path), target="y", split=None) == {
        **dict.fromkeys(("flat", "wide", "walk", "text", "file", "both"), "series"),
        **dict.fromkeys(("scan", "lidar_points"), "points"),
        "names": "set",
        "deep": "ignore",
    }


def test_a_clock_needs_time_stamps(tmp_path):
    table = table_of(tmp_path, x=[v.tolist() for v in rows_of(20)], y=["a", "b"] * 10)
    with pytest.raises(DataError, match="a clock needs time stamps"):
        fitted(table, "y", options=SpecOptions(clock=True))


def huge_header(shape="(1000000, 1000000)"):
    """A NumPy file that claims more than it has."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(80)


@pytest.mark.parametrize(
    "cell",
    [huge_header(), json.dumps([1.5] * 20_000), npy(np.zeros(200_000, np.int8)), np.zeros((400, 400), np.int8)],
)
def test_an_array_takes_no_more_memory_than_a_cell_may(cell):
    where = dataclasses.replace(WHERE, cell_bytes=1 << 20)
    with pytest.raises(DataError, match=r"row 17, column 'x': the array takes [\d,]+ MB .*--cell-mb \d+ allows it"):
        PLAIN.encode({"x": cell}, where)


def test_headers_and_archives_are_refused_without_being_unpacked(tmp_path):
    with pytest.raises(DataError, match="the array cannot be read"):
        PLAIN.encode({"x": huge_header("(1000000,)")}, WHERE)
    np.savez_compressed(tmp_path / "bomb.npz", np.zeros(10_000_000))
    archive = (tmp_path / "bomb.npz").read_bytes()
    (tmp_path / "bomb.npy").write_bytes(archive)
    for cell in (archive, "bomb.npy"):
        with pytest.raises(DataError, match=r"must be one array \(.npy\), got an archive"):
            PLAIN.encode({"x": cell}, dataclasses.replace(WHERE, root=tmp_path))


def long(**fields):
    return SeriesSpec("x", 4, (0.0,), (1.0,), **fields)


def test_what_lies_at_a_bound_is_kept():
    clip = SeriesSpec("x", 4, (1.0,), (2.0,))
    kept = clip.encode({"x": [21.0, -19.0, 0, 0]}, WHERE)
    assert (kept.values[:2, 0].tolist(), kept.changes, kept.values.dtype) == ([10, -10], (), np.float32)
    clipped = clip.encode({"x": [21.1, -99.0, 0, 0, 0]}, WHERE)
    assert (clipped.values[:2, 0].tolist(), clipped.changes) == ([10, -10], ("cut", "clipped"))
    assert clip.encode({"x": [None, 21.0]}, WHERE).changes == ()
    assert clip.encode({"x": [None] * 4 + [5.0]}, WHERE) is None  # what is left after the cut is missing
    last = TIMED.encode({"x": [1, 2, 3], "t": [0.0, 10.0, 10.0 + 1e-9]}, WHERE)
    assert (len(last.values), last.changes) == (3, ())
    assert TIMED.encode({"x": [1] * 5, "t": [0.0, 1, 2, 3, 4]}, WHERE).coordinates[0].shape == (4,)


def test_time_stamps_that_count_from_zero():
    spec = long(span=10.0, step=1.0, from_first=False, time="t", clock=20.0)
    encoded = spec.encode({"x": [1, 2, 3], "t": [-1.0, 0.0, 5.0]}, WHERE)
    assert (encoded.values.tolist(), encoded.changes) == ([[2], [3]], ("cut",))
    np.testing.assert_allclose(encoded.coordinates[0], [-1, -0.5])
    assert encoded.coordinates[0].dtype == np.float32


def test_series_with_and_without_time_stamps_are_not_mixed():
    with pytest.raises(DataError, match="must have time stamps, as in the train rows, got none"):
        long(span=1.0, step=1.0).encode({"x": [1, 2]}, WHERE)
    assert long().encode({"x": {"values": [1, 2], "time": [0, 1]}}, WHERE).coordinates is None


def test_places_that_the_position_encoding_tells_apart():
    assert (PLAIN.resolution, PLAIN.own_coordinates, PLAIN.seconds) == (4.0, (0,), 0.0)
    assert (TIMED.resolution, TIMED.own_coordinates, TIMED.seconds) == (10.0, (1,), 10.0)
    assert long(span=10.0, step=8.0).resolution == 2  # at least
    assert long(span=10.0, step=0.1).resolution == 16  # at most four times the length
    assert long(span=10.0, step=1.0, clock=15.0).resolution == 15
    assert long(span=10.0, step=0.1, clock=20.0).resolution == 32


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"length": 0}, "length must be"),
        ({"span": 1.0}, "step must be"),
        ({"means": ()}, "means and stds must have one number per channel, and stds be above 0"),
        ({"stds": (0.0,)}, "stds be above 0"),
        ({"means": (), "stds": ()}, "one number per channel"),
    ],
)
def test_wrong_numbers_are_named(fields, reason):
    with pytest.raises(ValueError, match=reason):
        SeriesSpec(**{"name": "x", "length": 4, "means": (0.0,), "stds": (1.0,), **fields})


@pytest.mark.parametrize(
    ("spec", "note"),
    [
        (PLAIN, "1 channel, equal steps"),
        (WIDE, "2 channels, equal steps, missing values flagged"),
        (TIMED, "1 channel, time stamps over 10 s"),
        (long(span=179.9, step=1.0), "1 channel, time stamps over 180 s"),
        (long(span=180.0, step=1.0), "1 channel, time stamps over 3 minutes"),
        (long(span=10800.0, step=1.0), "1 channel, time stamps over 3 hours"),
        (long(span=86400 * 3.5, step=1.0), "1 channel, time stamps over 3.5 days"),
    ],
)
def test_notes_say_what_was_learned(spec, note):
    assert spec.note() == note


def learned(*samples, **options):
    return SeriesSpec.fit(SeriesSource("x"), [(t, np.asarray(v, float)) for t, v in samples], SpecOptions(**options))


def test_what_is_learned_of_times_and_values():
    first = (np.array([5.0, 6.0, 8.0]), [[1.0], [2.0], [3.0]])
    second = (np.array([3.0, 7.0]), [[4.0], [np.nan]])
    spec = learned(first, second)
    assert (spec.length, spec.means, spec.stds) == (3, (2.5,), (pytest.approx(np.std([1, 2, 3, 4])),))
    assert (spec.span, spec.step, spec.from_first, spec.gaps) == (4.0, 2.75, True, False)  # medians 1.5 and 4
    zero = learned(first, second, series_origin="zero")
    assert (zero.span, zero.from_first) == (8.0, False)
    assert learned(first, clock=True).from_first is False
    assert learned(first, clock=True, series_origin="first").span == 3.0
    one = learned((np.array([5.0]), [[1.0]]))
    assert (one.span, one.step, one.stds) == (1e-9, 1e-9, (1.0,))
    assert learned(first, max_series_length=2).length == 2
    assert learned((None, [[1.0]]), (None, [[2.0]])).span == 0
    assert learned((None, [[1.0]])).step == 0.0
    assert learned((None, [[1.0, np.nan], [2.0, 3.0]])).gaps
    assert not learned((None, [[np.nan, np.nan], [2.0, 3.0]])).gaps
    few = learned((None, [[1.0, 2.0]]), (None, [[1.0]]), (None, [[3.0]]))
    assert (few.means, few.channels, few.length) == ((2.0,), 1, 1)  # most have one channel
    missing = learned((None, [[np.nan, 1.0], [np.nan, 3.0]]))
    assert (missing.means, missing.stds) == ((0.0, 2.0), (1.0, 1.0))
    with pytest.raises(DataError, match="column 'x': its numbers are too large to average"):
        learned((None, [[1e200]]))


def test_options_and_columns_of_a_series():
    options = SeriesSettings()
    assert (options.max_series_length, options.series_values) == (1024, [])
    kind = SeriesKind()
    assert kind.reads_beside("x", options) == ()
    assert kind.reads_beside("x", SeriesSettings(series_time="t")) == ("t",)
    assert kind.reads_beside("x", SeriesSettings(series_time="t", series_file="f.csv")) == ()
    assert SeriesSource("x", "t").columns == ("x", "t")
    assert SeriesSource("x").columns == ("x",)
    assert SeriesSource("x", "t", "f.csv").columns == ("x",)
    assert (TIMED.files, TIMED.file_columns, long(file="f.csv").files) == ((), ("x", "t"), ("f.csv",))


def test_an_example_draws_a_line_per_channel_with_gaps(monkeypatch):
    drawn = []
    monkeypatch.setattr(drawing, "lines", lambda times, values: drawn.append((times, values)) or "svg")
    cell = {"x": [[1.0, 3.0], [None, 1.0], [None, None]]}
    assert WIDE.example(WIDE.encode(cell, WHERE), cell) == [{"kind": "drawing", "name": "x", "value": "svg"}]
    times, values = drawn[0]
    np.testing.assert_allclose(times, [-1, -1 / 3, 1 / 3])
    np.testing.assert_array_equal(values, [[1, 1], [np.nan, 0], [np.nan, np.nan]])
    row = {"x": [1, None, 2], "t": [0.0, 5.0, 10.0]}
    TIMED.example(TIMED.encode(row, WHERE), row)
    np.testing.assert_array_equal(drawn[1][0], [-1, 0, 1])
    np.testing.assert_array_equal(drawn[1][1], [[1], [np.nan], [2]])


def test_what_the_kind_declares():
    assert declared(SeriesKind()) == (
        "series",
        (SeriesSpec, "series", "float32"),
        SeriesSettings,
        SeriesAugmentation,
        False,
        False,
    )
    check_bounds(SeriesSettings, max_series_length=WHOLE, series_origin=(("first", "zero", None), ("last",)))


def test_series_change_at_random_but_not_their_gaps_nor_what_lies_behind_their_end():
    torch.manual_seed(0)
    values, mask = torch.randn(50, 12, 2), torch.ones(50, 12, dtype=torch.bool)
    mask[::2, 8:] = False
    quiet = SeriesAugmentation(series_scale=0.0, series_noise=0.0, series_warp=0.0)
    plain = SeriesSpec("x", 12, (0.0, 0.0), (1.0, 1.0))
    torch.testing.assert_close(plain.augmented(values, mask, quiet), values)
    for knob in ("series_scale", "series_noise", "series_warp"):
        changed = plain.augmented(values, mask, dataclasses.replace(quiet, **{knob: 0.3}))
        assert not torch.allclose(changed[:, :8], values[:, :8])
        assert torch.isfinite(changed).all()
    gaps = SeriesSpec("x", 12, (0.0,), (1.0,), gaps=True)
    flagged = torch.stack([values[..., 0], (values[..., 1] > 0).float()], dim=-1)
    changed = gaps.augmented(flagged, None, SeriesAugmentation())
    missing = flagged[..., 1] > 0
    assert torch.equal(changed[..., 1], flagged[..., 1])
    assert torch.equal(changed[missing], flagged[missing])
    assert not torch.allclose(changed[~missing], flagged[~missing])
