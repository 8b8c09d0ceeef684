import dataclasses
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from perceiver_pytorch.data import BadRow, InputSpec, load_table, recognise_columns
from perceiver_pytorch.data.spelling.spellings import Spelling, Spellings
from perceiver_pytorch.training.run.durations import Deadline
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table import datasets
from perceiver_pytorch.training.table.datasets import bad_rows, decode_where_it_fits, make_dataset, read_options
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
    given = {"skip_lines": 2, "header": False, "quoting": "none", "table_mb": 7, "decimal": ","}
    options = read_options(dataclasses.replace(DATA, **given))
    assert {name: getattr(options, name) for name in given} == given


def test_columns_whose_spelling_is_given_or_was_learned_stay_text():
    own = {
        "price": {"decimal": ","},
        "day": {"date_format": "%d.%m.%Y"},
        "sum": {"thousands": "."},
        "x": {"clock": False},
    }
    assert read_options(dataclasses.replace(DATA, column_options=own)).as_written == ("price", "day", "sum")
    assert read_options(DATA).as_written == ()
    learned = SimpleNamespace(spellings=Spellings(columns=(Spelling("price", decimal=","), Spelling("note"))))
    assert read_options(DATA, learned).as_written == ("price",)
    assert read_options(DATA, SimpleNamespace(spellings=None)).as_written is None  # of an early version


def test_a_data_set_is_what_the_configuration_says(read):
    data = dataclasses.replace(DATA, cache_mb=3, cell_mb=5, allow_outside=True, on_error="skip")
    dataset = make_dataset(*(read[0], np.arange(2), read[1]), data, require_target=False, workers=2)
    assert (dataset._free_bytes, dataset.cell_bytes) == (3 << 20, 5 << 20)
    names = ("on_error", "allow_outside", "require_target", "workers")
    assert [getattr(dataset, name) for name in names] == ["skip", True, False, 2]
    plain = make_dataset(read[0], np.arange(2), read[1], DATA)
    assert [getattr(plain, name) for name in names] == ["raise", False, True, None]


def test_decoding_is_shown_and_ends_when_its_share_of_the_time_is_up(read, monkeypatch):
    shown = []

    @contextmanager
    def progress(title):
        yield lambda done, total: shown.append((title, done, total))

    class Decoded(SimpleNamespace):
        def __len__(self):
            return 4

        def prepare(self, told):
            for done in (1, 2, 3, 4):
                told(done, 4)
            self.prepared = True

    def decoded(limit):
        rows = Decoded(table=None, fits=lambda: True, on_error="raise", prepared=False)
        monkeypatch.setattr("perceiver_pytorch.training.run.durations.now", lambda: float(len(shown)))
        shown.clear()
        decode_where_it_fits(rows, "decoding", Reporter(progress=progress), limit)
        return rows.prepared, [done for _, done, _ in shown]

    assert datasets.DECODING == 0.3
    assert decoded(None) == (True, [1, 2, 3, 4])
    assert decoded(Deadline(10.0, began=0.0)) == (True, [1, 2, 3, 4])  # three seconds, and the last row is done
    assert decoded(Deadline(6.0, began=0.0)) == (False, [1, 2])


def test_bad_rows_come_by_their_number():
    rows = {"train": {7: BadRow(7, "x", "a"), 2: BadRow(2, "x", "b")}, "val": {5: BadRow(5, None, "c")}}
    found = bad_rows({name: SimpleNamespace(bad=bad) for name, bad in rows.items()})
    assert [entry.row for entry in found] == [2, 5, 7]
