"""Parquet files that contradict themselves."""

import pyarrow
import pyarrow.parquet
import pytest

from perceiver_pytorch.data import DataError, ReadOptions, load_table
from perceiver_pytorch.data.predicate import Predicate
from perceiver_pytorch.data.sources.parquet_metadata import check_metadata


def test_nothing_is_read_of_a_file_that_is_whole(tmp_path):
    path = tmp_path / "table.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"a": [1, None, 3], "b": [["x"], [], None]}), path, row_group_size=2)
    with pyarrow.parquet.ParquetFile(path) as file:
        path.write_bytes(b"")
        for names in (None, ["a"], ["b"]):
            for group in range(2):
                check_metadata(file.metadata, group, names)


@pytest.mark.skipif(int(pyarrow.__version__.partition(".")[0]) < 19, reason="this Arrow does not compare them")
def test_metadata_that_contradict_themselves_are_refused(tmp_path):
    """Newer versions of Arrow compare them, and would end the process."""
    path = tmp_path / "table.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"a": [1, None, 3]}), path)
    optional, required = b"\x25\x02\x18\x01a", b"\x25\x00\x18\x01a"  # repetition and name of a column
    assert optional in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(optional, required))
    with pyarrow.parquet.ParquetFile(path) as file, pytest.raises(OSError, match="level histogram size mismatch"):
        check_metadata(file.metadata, 0, None)
    refused = r"table\.parquet: cannot be read as parquet: .* histogram size mismatch"
    where = Predicate.of("a > 1")
    for options in (ReadOptions(), ReadOptions(where=where), ReadOptions(where=where, stream=True)):
        with pytest.raises(DataError, match=refused):
            load_table(path, options)


@pytest.mark.parametrize("stream", [False, True])
def test_rows_that_no_row_group_has_are_refused(tmp_path, stream):
    path = tmp_path / "table.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"a": [1, 2, 3]}), path)
    three, four = b"\x16\x06\x19\x1c", b"\x16\x08\x19\x1c"  # rows of the file, and the beginning of its row groups
    assert path.read_bytes().count(three) == 1
    path.write_bytes(path.read_bytes().replace(three, four))
    with pytest.raises(
        DataError, match=r"table\.parquet: cannot be read as parquet: it tells of 4 rows, and its row groups of 3"
    ):
        load_table(path, ReadOptions(stream=stream))
