"""Rows that come one portion after another, and may be more than memory holds: written to the disk, and left there."""

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from perceiver_pytorch._files import DiskFullError, is_disk_full
from perceiver_pytorch.data.errors import DataError, need
from perceiver_pytorch.data.sources.base import ReadOptions
from perceiver_pytorch.data.sources.parquet import parquet_files
from perceiver_pytorch.data.sources.sharded import ShardedTable
from perceiver_pytorch.data.table import Table

if TYPE_CHECKING:
    import pyarrow

GROUP_ROWS = 2048  # a row that is asked for by itself unpacks as many
_GROUP_BYTES = 32 << 20


def spooled_table(source: str, root: Path, write: Callable[[Path], None], options: ReadOptions) -> Table | ShardedTable:
    """The table in a temporary Parquet file, which goes with it; in memory where it is small, as other files are.

    Args:
        source: what was given, for messages.
        root: the folder that relative paths in cells start at.
        write: writes the file.
        options: which rows to read, and whether to leave them on the disk.

    Raises:
        DataError: there are none, or they cannot be read.
        DiskFullError: the disk has no room for them.
    """
    arrow = need("pyarrow", "read tables")
    folder = Path(tempfile.mkdtemp(prefix="perceiver-rows-"))
    path, table = folder / "rows.parquet", None
    try:
        write(path)
        table = parquet_files(source, root, [path], options)
    except (arrow.ArrowException, OSError) as error:
        if is_disk_full(error):
            raise DiskFullError.at(path) from error
        raise DataError(f"{source}: cannot be read ({error})") from error
    finally:
        if not isinstance(table, ShardedTable):
            shutil.rmtree(folder, ignore_errors=True)
    if isinstance(table, ShardedTable):
        weakref.finalize(table.shards[0], _remove, folder, os.getpid())
    return table


def write_batches(path: Path, schema: "pyarrow.Schema", batches: "Iterable[pyarrow.RecordBatch]") -> None:
    """Writes portions of rows as a Parquet file; each is forgotten before the next is asked for."""
    with need("pyarrow.parquet", "read tables").ParquetWriter(path, schema, compression="zstd") as file:
        for batch in batches:
            rows = max(1, min(GROUP_ROWS, _GROUP_BYTES * batch.num_rows // max(1, batch.nbytes)))
            for start in range(0, batch.num_rows, rows):
                file.write_batch(batch.slice(start, rows), row_group_size=rows)


def _remove(folder: Path, owner: int) -> None:
    """Removes a folder, but not for a process that was forked from its owner."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
