"""Data sets of the Hugging Face hub, or saved by its library: as tables that stay on the disk, mapped into memory."""

from pathlib import Path
from typing import Any

from perceiver_pytorch.data.errors import DataError, need
from perceiver_pytorch.data.sources.base import Place, ReadOptions, Source
from perceiver_pytorch.data.splits import SPLIT_NAMES
from perceiver_pytorch.data.table import Table


class Hub(Source):
    """`hf:NAME` or `hf:NAME:CONFIG`, a data set of the Hugging Face hub."""

    def claims(self, place: Place) -> bool:
        return place.name.startswith("hf:")

    def load(self, place: Place, options: ReadOptions) -> Table:
        return hub_table(place.name)


class SavedDataset(Source):
    """A folder that `save_to_disk` wrote."""

    def claims(self, place: Place) -> bool:
        return place.path.is_dir() and is_saved_dataset(place.path)

    def load(self, place: Place, options: ReadOptions) -> Table:
        return saved_table(place.name, place.path)


def is_saved_dataset(path: Path) -> bool:
    """Whether a folder was written by `save_to_disk`."""
    return (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()


def saved_table(source: str, path: Path) -> Table:
    """What `save_to_disk` wrote.

    Raises:
        DataError: it cannot be read.
    """
    datasets = need("datasets", "read data sets of the hub")
    try:
        data = datasets.load_from_disk(str(path))
    except Exception as error:  # the library's own, Arrow's, JSON's
        raise DataError(f"{source}: cannot be read as a saved data set ({error})") from error
    return dataset_table(source, path.resolve(), data)


def hub_table(source: str) -> Table:
    """`hf:NAME` or `hf:NAME:CONFIG`, downloaded into the hub's cache on first use.

    Raises:
        DataError: there is no such data set, or no network and it is not in the cache.
    """
    datasets = need("datasets", "read data sets of the hub")
    name, _, config = source.removeprefix("hf:").partition(":")
    if not name:
        raise DataError("hf: must be followed by a data set's name, as in hf:mnist or hf:USER/NAME:CONFIG")
    try:
        data = datasets.load_dataset(name, config or None)
    except Exception as error:  # of the network, of the hub, of the library
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"{source}: cannot be loaded ({reason}). Is the name right, and is there a network? "
            "A folder written by save_to_disk is read without one: give its path instead"
        ) from error
    return dataset_table(source, Path.cwd(), data)


def dataset_table(source: str, root: Path, data: Any) -> Table:
    """The rows of a `datasets.Dataset`, or of the train, validation and test parts of a `DatasetDict`.

    Raises:
        DataError: it has none of these parts, or they have different columns.
    """
    arrow, datasets = need("pyarrow", "read tables"), need("datasets", "read data sets of the hub")
    parts = dict(data) if isinstance(data, datasets.DatasetDict) else {"": data}
    named = {name: SPLIT_NAMES.get(name.lower()) for name in parts}
    notes = []
    if len(parts) > 1 or any(named.values()):
        left_out = [name for name, split in named.items() if split is None]
        parts = {name: part for name, part in parts.items() if named[name]}
        if not parts:
            raise DataError(f"{source}: its parts {', '.join(named)} are neither train, validation nor test")
        notes += [f"{source}: its part {name!r} is left out" for name in left_out]
    tables = []
    for name, part in parts.items():
        rows = _plain(part)
        if named[name] and "split" not in rows.column_names:
            rows = rows.append_column("split", arrow.array([named[name]] * len(rows)))
        tables.append(rows)
    try:
        return Table(source, root, arrow.concat_tables(tables, promote_options="default"), tuple(notes))
    except arrow.ArrowException as error:
        raise DataError(f"{source}: its parts have different columns ({error})") from error


def _plain(part: Any) -> Any:
    """A part's rows as an Arrow table: files as bytes or paths, classes by their names."""
    arrow, datasets = need("pyarrow", "read tables"), need("datasets", "read data sets of the hub")
    compute = need("pyarrow.compute", "read tables")
    if part._indices is not None:
        part = part.flatten_indices()
    rows = part.data.table
    for i, (name, feature) in enumerate(part.features.items()):
        if isinstance(feature, datasets.ClassLabel):
            names = arrow.array(feature.names)
            ids = compute.if_else(compute.greater_equal(rows.column(name), 0), rows.column(name), None)
            rows = rows.set_column(i, name, compute.take(names, ids.combine_chunks()))
    return rows.replace_schema_metadata(None)
