import dataclasses

import numpy as np
import pytest

from perceiver_pytorch.data import InputSpec, load_table, recognise_columns
from perceiver_pytorch.training.run.durations import Deadline
from perceiver_pytorch.training.table import datasets
from perceiver_pytorch.training.table.datasets import decode_where_it_fits, make_dataset, read_options
from perceiver_pytorch.training.table.settings import DataConfig
from training_helpers import SILENT, write_mixed_table

DATA = DataConfig(table="mixed.csv", target="label")


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    table = load_table(str(write_mixed_table(tmp_path_factory.mktemp("mixed"), rows=12)))
    kinds = recognise_columns(table, target="label", split="split")
    return table, InputSpec.fit(table, kinds, target="label", rows=np.arange(12))


@pytest.mark.parametrize(("megabytes", "prepared"), [(2048, True), (0, False)])
def test_rows_are_decoded_at_once_where_they_fit(read, megabytes, prepared):
    dataset = make_dataset(read[0], np.arange(12), read[1], dataclasses.replace(DATA, cache_mb=megabytes), workers=0)
    decode_where_it_fits(dataset, "decoding", SILENT)
    assert dataset.prepared == prepared
    assert dataset[3].row == 3


@pytest.mark.parametrize(
    ("left", "on_error", "prepared"), [(0.0, "raise", False), (0.0, "skip", True), (1000.0, "raise", True)]
)
def test_without_time_rows_are_decoded_when_they_are_needed(read, left, on_error, prepared):
    dataset = make_dataset(read[0], np.arange(12), read[1], dataclasses.replace(DATA, on_error=on_error), workers=0)
    decode_where_it_fits(dataset, "decoding", SILENT, Deadline(left))
    assert dataset.prepared == prepared
    assert [dataset[i].row for i in range(12)] == list(range(12))


@pytest.mark.parametrize(
    ("many", "on_error", "prepared"), [(11, "raise", False), (12, "raise", True), (11, "skip", True)]
)
def test_many_rows_are_decoded_when_they_are_needed(read, monkeypatch, many, on_error, prepared):
    monkeypatch.setattr(datasets, "MANY_ROWS", many)
    dataset = make_dataset(read[0], np.arange(12), read[1], dataclasses.replace(DATA, on_error=on_error), workers=0)
    decode_where_it_fits(dataset, "decoding", SILENT)
    assert dataset.prepared == prepared


def test_the_configuration_says_how_tables_are_read():
    data = dataclasses.replace(DATA, encoding="latin-1", delimiter=";", on_error="skip", stream=True)
    options = read_options(data)
    assert (options.encoding, options.delimiter, options.skip_bad, options.stream) == ("latin-1", ";", True, True)
    assert not read_options(DATA).skip_bad
