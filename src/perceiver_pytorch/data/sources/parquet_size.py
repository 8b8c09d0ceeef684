"""How many bytes the rows of a Parquet file take in memory, found out before they do.

A few bytes of a file may say "this value a million times", of a value as long as one likes.
"""

from collections.abc import Collection, Iterator
from typing import Any

from perceiver_pytorch.data.errors import need
from perceiver_pytorch.data.remote.addresses import Root
from perceiver_pytorch.data.remote.files import opened
from perceiver_pytorch.data.sources.parquet_metadata import check_metadata

ROW_BYTES = 32
"""Of the number of a row, in the lists of rows that splits are made of."""
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 8}
_ENDS = 4  # bytes that tell where a text ends
_ROWS = 1 << 16  # looked at together
_TEXT, _PREFIXED = "BYTE_ARRAY", "DELTA_BYTE_ARRAY"  # the latter: texts by what they share with the one before


def largest_size(file: Any, group: int, names: Collection[str] | None) -> int:
    """Bytes that the rows of a row group take at most, by what the file says of itself.

    Args:
        file: a `pyarrow.parquet.ParquetFile`.
        group: the row group.
        names: the columns; None: all.
    """
    size = file.metadata.row_group(group).num_rows * ROW_BYTES
    for _, column, chunk in _chunks(file, group, names):
        size += _known(column, chunk) + chunk.num_values * chunk.total_uncompressed_size * _repeats(column, chunk)
    return size


def unpacked_size(file: Any, path: Root, group: int, names: Collection[str] | None, limit: int) -> int:
    """Bytes that they do take, or more than `limit` if they are more.

    Args:
        file, group, names: as above.
        path: where the file lies.
        limit: where counting may stop.
    """
    size = file.metadata.row_group(group).num_rows * ROW_BYTES
    repeated: dict[int, str] = {}  # numbers of columns, with the path where each text can be read once
    for i, column, chunk in _chunks(file, group, names):
        size += _known(column, chunk)
        if _repeats(column, chunk):
            repeated[i] = "" if _PREFIXED in chunk.encodings else column.path
    if not repeated or size > limit:
        return size
    parquet = need("pyarrow.parquet", "read tables")
    with parquet.ParquetFile(
        opened(path), metadata=file.metadata, read_dictionary=[*filter(None, repeated.values())]
    ) as texts:
        for i, once in repeated.items():
            chunk = file.metadata.row_group(group).column(i)
            rows = _ROWS if once else min(_ROWS, max(1, limit // chunk.total_uncompressed_size))
            columns = [file.schema.column(i).path]
            for part in texts.iter_batches(rows, row_groups=[group], columns=columns, use_threads=False):
                size += sum(_length(values) for column in part.columns for values in _texts(column))
                if size > limit:
                    return size
    return size


def _chunks(file: Any, group: int, names: Collection[str] | None) -> Iterator[tuple[int, Any, Any]]:
    """Number, schema and metadata of the columns of a row group.

    Raises:
        OSError: the metadata are damaged.
    """
    check_metadata(file.metadata, group, names)
    rows, wanted = file.metadata.row_group(group), None if names is None else {name.split(".")[0] for name in names}
    for i in range(rows.num_columns):
        column = file.schema.column(i)
        if wanted is None or column.path.split(".")[0] in wanted:
            yield i, column, rows.column(i)


def _repeats(column: Any, chunk: Any) -> bool:
    """Whether texts may be written once, or a part of them, and stand in many rows."""
    return column.physical_type == _TEXT and (chunk.has_dictionary_page or _PREFIXED in chunk.encodings)


def _known(column: Any, chunk: Any) -> int:
    """Bytes of a column of a row group, without those of texts that repeat."""
    if column.physical_type != _TEXT:
        return chunk.num_values * (_WIDTHS.get(column.physical_type) or column.length)
    return chunk.num_values * _ENDS + (0 if _repeats(column, chunk) else chunk.total_uncompressed_size)


def _texts(column: Any) -> Iterator[Any]:
    """The texts in a column, each as it stands or as the number of its value."""
    types = need("pyarrow.types", "read tables")
    if types.is_struct(column.type):
        for i in range(column.type.num_fields):
            yield from _texts(column.field(i))
    elif types.is_nested(column.type):
        yield from _texts(column.values)
    else:
        yield column


def _length(texts: Any) -> int:
    compute, types = need("pyarrow.compute", "read tables"), need("pyarrow.types", "read tables")
    if not types.is_dictionary(texts.type):
        return texts.nbytes
    lengths = compute.binary_length(texts.dictionary)
    return compute.sum(lengths.take(texts.indices), min_count=0).as_py()
