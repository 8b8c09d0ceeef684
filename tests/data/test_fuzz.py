"""Damaged files and odd cells: a decoder or reader gives a value or a `DataError`, soon, and in little memory."""

import contextlib
import random
import sys
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzzing import FILES, damaged, images, read_in_child, tables
from perceiver_pytorch.data import DataError, InputSpec, ReadOptions, Table, Where, load_table
from perceiver_pytorch.data.kinds.base import Encoded

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits on memory and time")
WHERE = Where("here", Path("/nowhere"), 3)


def specs_of(kind, cells):
    """The modalities that are learned from a column of one kind."""
    table = Table("here", Path("/nowhere"), pyarrow.table({"x": cells, "y": ["ab"[i % 2] for i in range(len(cells))]}))
    return InputSpec.fit(table, {"x": kind}, target="y", rows=np.arange(len(cells))).modalities


def reader_of(kind):
    """Encodes a file by what was learned from good ones, and learns from it, as fitting does."""
    seeds = list(FILES[kind.split("+")[0]]())
    modalities = specs_of(kind, [data for _, data in seeds])

    def read(data):
        for modality in modalities:
            encoded = modality.encode({"x": data}, WHERE)
            assert encoded is None or isinstance(encoded, Encoded)
        with contextlib.suppress(DataError):
            specs_of(kind, [data, data])

    return seeds, read


@pytest.mark.parametrize("kind", list(FILES))
def test_damaged_files_are_decoded_or_refused(kind, tmp_path):
    seeds, read = reader_of(kind)
    assert read_in_child(read, seeds, tmp_path, count=12 * len(seeds)) is None


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(1, 11))
@pytest.mark.parametrize("kind", list(FILES))
def test_many_damaged_files_are_decoded_or_refused(kind, seed, tmp_path):
    seeds, read = reader_of(kind)
    assert read_in_child(read, seeds, tmp_path, count=1000, seed=seed) is None


def table_reader(suffix, folder):
    def read(data):
        path = folder / f"t{suffix}"
        path.write_bytes(data)
        for options in (ReadOptions(), ReadOptions(skip_bad=True, stream=suffix in (".parquet", ".tar") or None)):
            table = load_table(path, options)
            for i in range(min(len(table), 20)):
                table.row(i)

    return read


@pytest.mark.parametrize("suffix", [suffix for suffix, _ in tables()])
def test_damaged_tables_are_read_or_refused(suffix, tmp_path):
    seeds = [(name, data) for name, data in tables() if name == suffix]
    assert read_in_child(table_reader(suffix, tmp_path), seeds, tmp_path, count=60) is None


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(1, 11))
@pytest.mark.parametrize("suffix", [suffix for suffix, _ in tables()])
def test_many_damaged_tables_are_read_or_refused(suffix, seed, tmp_path):
    seeds = [(name, data) for name, data in tables() if name == suffix]
    assert read_in_child(table_reader(suffix, tmp_path), seeds, tmp_path, count=3000, seed=seed) is None


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=60),
    st.binary(max_size=200),
    st.dates(),
    st.datetimes(),
    st.lists(st.one_of(st.floats(), st.text(max_size=4), st.none(), st.lists(st.floats(), max_size=3)), max_size=5),
    st.dictionaries(
        st.sampled_from(["bytes", "path", "values", "times"]),
        st.one_of(st.none(), st.binary(max_size=50), st.text(max_size=9), st.lists(st.floats(), max_size=4)),
    ),
)
GOOD = {
    "text": ["some words", "others"],
    "number": [1.5, 2.5],
    "category": ["u", "v"],
    "date": ["2020-01-01", "2021-05-06 07:08"],
    **{kind: [data for _, data in files()][:2] for kind, files in FILES.items()},
}


@pytest.fixture(scope="module")
def modalities():
    return {kind: specs_of(kind, cells) for kind, cells in GOOD.items()}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cell=CELLS)
def test_odd_cells_are_encoded_or_refused(modalities, cell):
    for kind, learned in modalities.items():
        for modality in learned:
            encoded = None
            with contextlib.suppress(DataError):
                encoded = modality.encode({"x": cell}, WHERE)
            assert encoded is None or isinstance(encoded, Encoded), kind
            if encoded is not None:
                assert np.isfinite(np.asarray(encoded.values, dtype=np.float64)).all(), kind


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**9), which=st.integers(0, 6), content=st.binary(max_size=300))
def test_images_made_by_hypothesis_are_decoded_or_refused(modalities, seed, which, content):
    """In this process, where hypothesis finds the smallest file."""
    files = list(images())
    for data in (damaged(files[which][1], random.Random(seed)), files[which][1][:8] + content, content):
        for modality in modalities["image"]:
            with contextlib.suppress(DataError):
                modality.encode({"x": data}, WHERE)
