"""The forms in which Python has tables: each is read into one of ours, and predictions go back in the same form.

pandas, polars and datasets are never imported unless a table of theirs is given.
"""

import io
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from perceiver_pytorch.data import DataError, ReadOptions, Table, TableLike, load_table
from perceiver_pytorch.data.errors import need
from perceiver_pytorch.data.readers import chosen_rows
from perceiver_pytorch.data.sources.hub import dataset_table
from perceiver_pytorch.data.sources.spooled import GROUP_ROWS, spooled_table, write_batches

if TYPE_CHECKING:
    import pyarrow


class Form:
    """A form of table in memory.

    Attributes:
        name: what a table of this form is called in messages.
        package, classes: whose tables they are.
    """

    name: str
    package = ""
    classes: tuple[str, ...] = ()

    def fits(self, given: Any) -> bool:
        """Whether a value has this form."""
        return any(_is(given, self.package, name) for name in self.classes)

    def table(self, given: Any, root: Path, options: ReadOptions) -> TableLike:
        """A value as a table; relative paths in its cells start at ``root``."""
        return Table(self.name, root, self.rows(given))

    def rows(self, given: Any) -> "pyarrow.Table":
        """The cells of a value."""
        raise NotImplementedError

    def write(self, predictions: "pyarrow.Table", given: Any, places: np.ndarray) -> Any:
        """Predictions in this form.

        Args:
            given: the value that was read.
            places: int64, the rows of it that the predictions are for.
        """
        raise NotImplementedError


class PandasForm(Form):
    """The predictions keep the index."""

    name, package, classes = "a pandas DataFrame", "pandas", ("DataFrame",)

    def rows(self, given: Any) -> "pyarrow.Table":
        names = list(map(str, given.columns))
        arrays = [_array(self.name, name, given.iloc[:, i]) for i, name in enumerate(names)]
        return need("pyarrow", "read tables").Table.from_arrays(arrays, names=names)

    def write(self, predictions: "pyarrow.Table", given: Any, places: np.ndarray) -> Any:
        return predictions.to_pandas().set_axis(given.index[places], axis="index")


class PolarsForm(Form):
    name, package, classes = "a polars DataFrame", "polars", ("DataFrame",)

    def rows(self, given: Any) -> "pyarrow.Table":
        return given.to_arrow()

    def write(self, predictions: "pyarrow.Table", given: Any, places: np.ndarray) -> Any:
        import polars

        return polars.from_arrow(predictions)


class LazyForm(PolarsForm):
    """It is computed a portion at a time and left on the disk, if it is large; its predictions are a DataFrame."""

    name, classes = "a polars LazyFrame", ("LazyFrame",)

    def table(self, given: Any, root: Path, options: ReadOptions) -> TableLike:
        return spooled_table(self.name, root, lambda path: given.sink_parquet(path, row_group_size=GROUP_ROWS), options)


class ArrowDatasetForm(Form):
    """Files of any number and format, as `pyarrow.dataset.dataset` finds them, with the columns that folders are named
    for. The rows of large ones stay on the disk; their predictions are a table."""

    name, package, classes = "an Arrow dataset", "pyarrow", ("Dataset", "RecordBatchReader", "Scanner")

    def table(self, given: Any, root: Path, options: ReadOptions) -> TableLike:
        if hasattr(given, "scanner"):  # else its rows are chosen already
            where = None if options.where is None else options.where.expression(given.schema, self.name)
            given = given.scanner(filter=where, batch_size=GROUP_ROWS, use_threads=False, **_no_readahead(given))
        reader = given.to_reader() if hasattr(given, "to_reader") else given
        return spooled_table(self.name, root, lambda path: write_batches(path, reader.schema, reader), options)

    def write(self, predictions: "pyarrow.Table", given: Any, places: np.ndarray) -> Any:
        return predictions


def _no_readahead(given: Any) -> dict[str, Any]:
    """What has Arrow read no more than the portion that is asked for; else a Parquet file is in memory at once."""
    options: dict[str, Any] = {"batch_readahead": 1, "fragment_readahead": 1}
    if getattr(getattr(given, "format", None), "default_extname", "") == "parquet":
        parquet = need("pyarrow.dataset", "read tables").ParquetFragmentScanOptions
        options["fragment_scan_options"] = parquet(pre_buffer=False, use_buffered_stream=True)
    return options


class DatasetForm(Form):
    """Of the library datasets; the parts of a DatasetDict are train, validation and test rows."""

    name, package, classes = "a datasets.Dataset", "datasets", ("Dataset", "DatasetDict")

    def table(self, given: Any, root: Path, options: ReadOptions) -> TableLike:
        return dataset_table(self.name, root, given)

    def write(self, predictions: "pyarrow.Table", given: Any, places: np.ndarray) -> Any:
        import datasets

        return datasets.Dataset(datasets.table.InMemoryTable(predictions))


class ArrowForm(Form):
    """A pyarrow table, or whatever gives its rows the way Arrow libraries exchange them."""

    name = "an Arrow table"

    def fits(self, given: Any) -> bool:
        return hasattr(given, "__arrow_c_stream__")

    def rows(self, given: Any) -> "pyarrow.Table":
        arrow = need("pyarrow", "read tables")
        try:
            return arrow.table(given)
        except arrow.ArrowException as error:
            raise TypeError(f"table must have columns with names, got {_described(given)} ({error})") from None

    def write(self, predictions: "pyarrow.Table", given: Any, places: np.ndarray) -> Any:
        return predictions


class RowsForm(Form):
    """A cell may be missing in some rows."""

    name = "a list of dicts"

    def fits(self, given: Any) -> bool:
        return isinstance(given, list | tuple) and all(isinstance(row, Mapping) for row in given)

    def rows(self, given: Any) -> "pyarrow.Table":
        names = dict.fromkeys(name for row in given for name in row)
        return columns_rows({name: [row.get(name) for row in given] for name in names}, self.name)

    def write(self, predictions: "pyarrow.Table", given: Any, places: np.ndarray) -> Any:
        return predictions.to_pylist()


class ColumnsForm(Form):
    """Lists or arrays by the names of the columns."""

    name = "a dict of columns"

    def fits(self, given: Any) -> bool:
        return isinstance(given, Mapping)

    def rows(self, given: Any) -> "pyarrow.Table":
        return columns_rows(given, self.name)

    def write(self, predictions: "pyarrow.Table", given: Any, places: np.ndarray) -> Any:
        return predictions.to_pydict()


FORMS: tuple[Form, ...] = (
    *(PandasForm(), PolarsForm(), LazyForm(), DatasetForm(), ArrowDatasetForm(), ArrowForm()),
    *(RowsForm(), ColumnsForm()),
)
"""In the order in which they are asked."""

ROOT_OF_A_PATH = "root is for tables in memory; paths in a file's cells start at the folder of the file"


def open_table(table: Any, options: ReadOptions, root: str | Path | None = None) -> tuple[TableLike, Form | None]:
    """A table, and its form; None for a file, a folder, shards, ``hf:NAME`` or a built-in set.

    Args:
        table: what `load_table` takes, or a table in memory.
        options: how to read a file.
        root: of a table in memory, the folder that relative paths in cells start at; None: the current one.

    Raises:
        DataError: for a table that cannot be read.
        TypeError: for a value of no known form.
    """
    if isinstance(table, str | os.PathLike):
        if root is not None:
            raise ValueError(ROOT_OF_A_PATH)
        return load_table(os.fspath(table), options), None
    form = next((form for form in FORMS if form.fits(table)), None)
    if form is None:
        raise TypeError(
            "table must be a path, a pandas, polars or pyarrow table, an Arrow dataset, a datasets.Dataset, a list of "
            f"dicts or a dict of columns, got {_described(table)}"
        )
    return chosen_rows(form.table(table, Path.cwd() if root is None else Path(root).resolve(), options), options), form


def _described(table: Any) -> str:
    """What somebody gave for a table, by its class and, for a list, that of its first entry."""
    cls = type(table)
    name = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    return f"a list that begins with {_described(table[0])}" if isinstance(table, list) and table else name


def columns_rows(columns: Mapping[Any, Collection[Any]], name: str) -> "pyarrow.Table":
    """An Arrow table of lists or arrays; None and NaN are missing.

    Raises:
        DataError: for columns of different lengths, and cells that cannot be read; ``name`` is what it is about.
    """
    lengths = {str(key): len(cells) for key, cells in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"{name}: all columns must have the same length, got {lengths}")
    arrays = {str(key): _array(name, str(key), cells) for key, cells in columns.items()}
    return need("pyarrow", "read tables").table(arrays)


def _array(name: str, column: str, cells: Any) -> Any:
    """One column for Arrow."""
    arrow = need("pyarrow", "read tables")
    errors = (arrow.ArrowException, TypeError, ValueError, OverflowError)
    try:
        return arrow.array(cells, from_pandas=True)
    except errors:
        try:
            return arrow.array([_plain(cell) for cell in cells], from_pandas=True)
        except errors as error:
            message = f"{name}: the cells of column {column!r} must be of one type that tables can hold: {error}"
            raise DataError(message, column=column) from error


def _plain(cell: Any) -> Any:
    """A cell that Arrow does not take as one that it takes: a path, a picture, an array with several axes."""
    if isinstance(cell, os.PathLike):
        return os.fspath(cell)
    if _is(cell, "PIL", "Image"):
        buffer = io.BytesIO()
        cell.save(buffer, format="PNG")
        return buffer.getvalue()
    return cell.tolist() if hasattr(cell, "tolist") else cell


def _is(value: Any, package: str, name: str) -> bool:
    """Whether a value is of a class of a package that need not be installed."""
    return any(cls.__name__ == name and cls.__module__.split(".")[0] == package for cls in type(value).__mro__)
