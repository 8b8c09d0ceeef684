"""Tables in the forms that Python has, read and given back."""

import io
import sys
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.dataset
import pyarrow.parquet
import pytest
from PIL import Image

from perceiver_pytorch.data import DataError, ReadOptions
from perceiver_pytorch.tables.forms import FORMS, _no_readahead, columns_rows, open_table
from test_imports import modules_after

pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")
datasets = pytest.importorskip("datasets")

CELLS = {"size": [1.5, None, 3.0], "name": ["a", None, "c"], "count": [1, 2, 3]}
ROWS = [dict(zip(CELLS, row, strict=True)) for row in zip(*CELLS.values(), strict=True)]
GIVEN = {
    "a pandas DataFrame": pandas.DataFrame(CELLS),
    "a polars DataFrame": polars.DataFrame(CELLS),
    "a polars LazyFrame": polars.DataFrame(CELLS).lazy(),
    "a datasets.Dataset": datasets.Dataset.from_dict(CELLS),
    "an Arrow dataset": pyarrow.dataset.dataset(pyarrow.table(CELLS)),
    "an Arrow table": pyarrow.table(CELLS),
    "a list of dicts": ROWS,
    "a dict of columns": CELLS,
}
COMPUTED = {"a polars LazyFrame": polars.DataFrame, "an Arrow dataset": pyarrow.Table}
PREDICTED = pyarrow.table({"row": [0, 2], "prediction": ["hi", "lo"]})


def opened(given, root=None):
    return open_table(given, ReadOptions(), root)


def test_each_form_has_an_example() -> None:
    assert list(GIVEN) == [form.name for form in FORMS]


@pytest.mark.parametrize("name", GIVEN)
def test_the_same_cells_in_every_form(name: str) -> None:
    table, form = opened(GIVEN[name])
    assert form is not None
    assert form.name == table.source == name
    assert {column: table.column(column) for column in table.column_names} == CELLS
    assert table.root == Path.cwd()


@pytest.mark.parametrize("name", GIVEN)
def test_predictions_come_back_in_the_form(name: str) -> None:
    _, form = opened(GIVEN[name])
    back = form.write(PREDICTED, GIVEN[name], np.array([0, 2]))
    assert type(back) is COMPUTED.get(name, type(GIVEN[name]))
    assert opened(back)[0].rows.to_pydict() == PREDICTED.to_pydict()


def test_pandas_keeps_its_index() -> None:
    frame = pandas.DataFrame(CELLS, index=["x", "y", "z"])
    _, form = opened(frame)
    assert list(form.write(PREDICTED, frame, np.array([0, 2])).index) == ["x", "z"]


def test_pandas_numbers_as_names_and_all_its_ways_to_miss_a_value() -> None:
    frame = pandas.DataFrame(
        {
            0: ["a", np.nan],
            "b": pandas.array([1, None], dtype="Int64"),
            "c": [pandas.Timestamp("2020-01-01"), pandas.NaT],
        }
    )
    table, _ = opened(frame)
    assert table.column_names == ["0", "b", "c"]
    assert [table.row(1)[name] for name in table.column_names] == [None, None, None]


def test_a_lazy_polars_frame_is_collected() -> None:
    lazy = polars.DataFrame(CELLS).lazy()
    table, form = opened(lazy)
    assert table.column("count") == [1, 2, 3]
    assert isinstance(form.write(PREDICTED, lazy, np.array([0, 2])), polars.DataFrame)


def test_chosen_rows_and_classes_of_a_data_set() -> None:
    features = datasets.Features({"label": datasets.ClassLabel(names=["no", "yes"])})
    data = datasets.Dataset.from_dict({"label": [0, 1, 1, 0]}, features=features).select([1, 3])
    assert opened(data)[0].column("label") == ["yes", "no"]


def test_parts_of_a_data_set_are_its_splits() -> None:
    part = datasets.Dataset.from_dict(CELLS)
    table, _ = opened(datasets.DatasetDict(train=part, test=part, unsupervised=part))
    assert table.column("split") == ["train"] * 3 + ["test"] * 3
    assert table.notes == ("a datasets.Dataset: its part 'unsupervised' is left out",)


def test_rows_without_a_cell_miss_it() -> None:
    table, _ = opened([{"a": 1}, {"b": "x"}])
    assert [table.row(i) for i in range(2)] == [{"a": 1, "b": None}, {"a": None, "b": "x"}]


def test_pictures_arrays_and_paths_as_cells() -> None:
    picture = Image.new("RGB", (2, 2), "red")
    table, _ = opened({"picture": [picture], "series": [np.ones((3, 2))], "file": [Path("a") / "b.png"]})
    cells = table.row(0)
    assert Image.open(io.BytesIO(cells["picture"])).getpixel((0, 0)) == (255, 0, 0)
    assert cells["series"] == [[1.0, 1.0]] * 3
    assert cells["file"] == str(Path("a/b.png"))


def test_paths_in_cells_start_at_root(tmp_path: Path) -> None:
    assert opened(ROWS, tmp_path)[0].root == tmp_path.resolve()
    with pytest.raises(ValueError, match="root is for tables in memory"):
        opened("digits", tmp_path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a": [1, 2], "b": [1]}, "a dict of columns: all columns must have the same length, got {'a': 2, 'b': 1}"),
        ([{"a": 1}, {"a": "x"}], "a list of dicts: the cells of column 'a' must be of one type that tables can hold"),
        (pandas.DataFrame([[1, 2]], columns=["a", "a"]), "a pandas DataFrame: more than one column is called 'a'"),
        (pandas.DataFrame({"a": []}), "a pandas DataFrame: the table has no rows"),
        ([], "a list of dicts: the table has no rows"),
    ],
)
def test_what_cannot_be_read_is_a_data_error(given: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        opened(given)


def test_another_value_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"table must be a path, a pandas, polars .* got int"):
        opened(3)
    with pytest.raises(TypeError, match=r"got a list that begins with int"):
        opened([1, 2])
    with pytest.raises(TypeError, match=r"must have columns with names, got pandas.*Series"):
        opened(pandas.Series([1.0, 2.0]))


def test_arrays_may_be_columns() -> None:
    rows = columns_rows({"x": np.array([1.0, np.nan])}, "the table")
    assert rows["x"].to_pylist() == [1.0, None]


def test_no_library_of_data_frames_is_imported_for_other_tables() -> None:
    code = "from perceiver_pytorch.tables.forms import *; open_table({'a': ['x', 'y']}, ReadOptions())"
    assert modules_after(code) & {"polars", "datasets"} == set()
    assert "polars" in sys.modules


def test_a_large_dataset_is_not_in_memory_at_once(tmp_path: Path) -> None:
    schema = pyarrow.schema({"number": pyarrow.int64(), "filler": pyarrow.binary()})
    with pyarrow.parquet.ParquetWriter(
        tmp_path / "t.parquet", schema, compression="none", use_dictionary=False
    ) as file:
        for start in range(0, 6000, 100):
            filler = [np.random.default_rng(row).bytes(10_000) for row in range(start, start + 100)]
            file.write_batch(pyarrow.record_batch([range(start, start + 100), filler], schema=schema))
    before, pool = pyarrow.total_allocated_bytes(), pyarrow.default_memory_pool()
    data = pyarrow.dataset.dataset(tmp_path / "t.parquet")
    scanner = data.scanner(filter=None, batch_size=2048, use_threads=False, **_no_readahead(data))
    most = 0
    for _ in scanner.to_reader():
        most = max(most, pool.bytes_allocated() - before)
    assert most < 30 << 20  # of 60 MB
