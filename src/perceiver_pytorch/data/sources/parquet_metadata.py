"""Whether what a Parquet file says of itself can be looked at."""

import contextlib
import io
from collections.abc import Collection
from typing import Any

from perceiver_pytorch.data.errors import need


def check_rows(metadata: Any) -> None:
    """That row groups have the rows that a file tells of.

    Args:
        metadata: a `pyarrow.parquet.FileMetaData`.

    Raises:
        OSError: they have others.
    """
    rows = sum(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
    if rows != metadata.num_rows:
        raise OSError(f"it tells of {metadata.num_rows} rows, and its row groups of {rows}")


class _UnreadError(Exception):
    """Values were about to be read."""


class _Unread(io.RawIOBase):
    """A file that is as long as any, and whose bytes cannot be read."""

    place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: 1 << 62}[whence]
        return self.place

    def tell(self) -> int:
        return self.place

    def readinto(self, buffer: Any) -> int:
        raise _UnreadError


def check_metadata(metadata: Any, group: int, names: Collection[str] | None) -> None:
    """That what a file says of a row group's columns does not contradict itself.

    Where it does, PyArrow's `RowGroupMetaData.column`, and the summaries of its data sets, end the process (26.0.1):
    their error does not get to Python. That of a reader of rows does, and it looks at the metadata before it reads.

    Args:
        metadata: a `pyarrow.parquet.FileMetaData`.
        group: the row group.
        names: the columns; None: all.

    Raises:
        OSError: it does.
    """
    parquet = need("pyarrow.parquet", "read tables")
    columns = None if names is None else [*names]
    with parquet.ParquetFile(_Unread(), metadata=metadata, buffer_size=1) as file, contextlib.suppress(_UnreadError):
        next(file.iter_batches(1, row_groups=[group], columns=columns, use_threads=False), None)
