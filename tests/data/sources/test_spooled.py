"""Portions of rows, left on the disk: they are the rows, in their order, and go with their table."""

import gc
import os
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from perceiver_pytorch.data import DataError, ReadOptions, Table
from perceiver_pytorch.data.predicate import Predicate
from perceiver_pytorch.data.sources.spooled import spooled_table, write_batches

ROWS = pa.table({"number": np.arange(5000), "word": [f"w{i % 3}" for i in range(5000)]})


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def spooled(tmp_path, rows=ROWS, **options):
    options = ReadOptions(**{"stream": True, **options})
    return spooled_table("rows", tmp_path, lambda path: write_batches(path, rows.schema, rows.to_batches(700)), options)


def test_rows_come_back_in_their_order(tmp_path):
    table = spooled(tmp_path)
    assert table.column("number") == list(range(5000))
    assert [row["word"] for _, row in table.iterate(np.array([4999, 3, 0]), ["word"])] == ["w1", "w0", "w0"]


def test_rows_are_chosen(tmp_path):
    assert spooled(tmp_path, where=Predicate.of("number >= 4990 and word = 'w1'")).column("number") == [
        4990,
        4993,
        4996,
        4999,
    ]


def test_the_file_goes_with_its_table_but_not_with_a_process_that_was_forked(tmp_path):
    table = spooled(tmp_path)
    path = table.shards[0].path
    if hasattr(os, "fork"):
        child = os.fork()
        if not child:
            del table
            gc.collect()
            os._exit(0)
        os.waitpid(child, 0)
    assert isinstance(path, Path)
    assert path.is_file()
    del table
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_few_rows_are_read_into_memory(tmp_path):
    table = spooled(tmp_path, stream=None)
    assert isinstance(table, Table)
    assert table.rows.equals(ROWS)
    assert not list(tmp_path.iterdir())


def test_nothing_stays_of_what_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="no rows"):
        spooled(tmp_path, ROWS.slice(0, 0))

    def broken():
        yield ROWS.to_batches()[0]
        raise pa.ArrowInvalid("row 7 is damaged")

    with pytest.raises(DataError, match=r"rows: cannot be read \(row 7 is damaged\)"):
        spooled_table("rows", tmp_path, lambda path: write_batches(path, ROWS.schema, broken()), ReadOptions())
    assert not list(tmp_path.iterdir())
