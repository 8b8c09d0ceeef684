"""Which rows of another table a run's model is given."""

import numpy as np
import pyarrow
import pytest

from perceiver_pytorch import tables
from perceiver_pytorch.data import Table
from perceiver_pytorch.tables.rows import ChosenRows, Reading, warn_about_rows
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table.settings import DataConfig

PARTS = {"x": [1.0, 2.0, 3.0, 4.0], "split": ["train", "val", "test", "test"]}


def chosen(given, split, default="test"):
    return ChosenRows.load(given, DataConfig(), split, default, None, Reporter())


@pytest.mark.parametrize(
    ("split", "default", "rows", "name"),
    [("val", "test", [1], "val"), (None, "test", [2, 3], "test"), ("all", "test", [0, 1, 2, 3], "all")],
)
def test_rows_of_a_split(split: str | None, default: str, rows: list[int], name: str) -> None:
    found = chosen(PARTS, split, default)
    assert (found.rows.tolist(), found.split) == (rows, name)


def test_all_rows_where_nothing_is_asked_and_there_are_no_such_rows() -> None:
    assert chosen({"x": [1.0, 2.0]}, None).split == "all"
    assert chosen({"x": [1.0], "split": ["train"]}, None).split == "all"


def test_the_split_column_of_the_train_table_counts() -> None:
    renamed = {"x": [1.0, 2.0], "part": ["train", "test"]}
    found = ChosenRows.load(renamed, DataConfig(split="part"), None, "test", None, Reporter())
    assert found.rows.tolist() == [1]


@pytest.mark.parametrize(
    ("given", "split", "message"),
    [
        (PARTS, "tset", r"split must be one of 'train', 'val', 'test', 'all'; got 'tset' \(did you mean 'test'\?\)"),
        ({"x": [1.0]}, "val", "a dict of columns has no split column, so it has no val rows"),
        ({"x": [1.0], "split": ["train"]}, "val", "the split column 'split' has no val rows"),
    ],
)
def test_a_split_that_is_not_there(given: object, split: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        chosen(given, split)


def test_missing_columns_are_empty_and_told(run: tables.Run) -> None:
    told: list[str] = []
    reporter = Reporter(warn=told.append)
    found = chosen({"note": ["a remark"], "size": [0.5]}, "all")
    dataset = found.dataset(run.spec, run.config.data, 0, reporter, require_target=False)
    assert dataset[0].inputs["picture"] is None
    assert told == ["a dict of columns has no columns picture, sound, place; they count as missing in every row"]
    with pytest.raises(ValueError, match="has none of the columns that the model reads: picture, sound"):
        chosen({"other": [1]}, "all").dataset(run.spec, run.config.data, 0, reporter, require_target=False)


def test_ten_bad_rows_are_named(run: tables.Run) -> None:
    told: list[str] = []
    rows = [{"size": "large", "place": "here"}] * 12 + [{"size": "0.5", "place": "here"}]
    data = Reading(on_error="skip").adapt(run.config.data)
    found = ChosenRows.load(rows, data, "all", "all", None, Reporter())
    dataset = found.dataset(run.spec, data, 0, Reporter(warn=lambda text: None), require_target=False)
    warn_about_rows(dataset, Reporter(warn=told.append))
    assert len(told) == 11
    assert told[0].startswith("row 0 is left out: column 'size': ")
    assert told[10] == ".. and 2 more rows"
    assert np.array_equal(dataset.rows, [12])


def test_how_the_train_table_was_written_says_nothing_of_another() -> None:
    data = DataConfig(encoding="latin-1", delimiter=";", on_error="skip")
    assert Reading(allow_outside=True).adapt(data) == DataConfig(on_error="skip", allow_outside=True)
    assert Reading(on_error="raise", encoding="utf-16").adapt(data) == DataConfig(encoding="utf-16")
    hosts = ["a.example.org"]
    reading = Reading(allow_web=hosts)
    hosts.clear()
    assert reading.adapt(data).allow_web == ["a.example.org"]


@pytest.fixture
def listed(monkeypatch):
    """A list that grows whenever a table lists its columns."""
    calls, names = [], Table.column_names.fget
    monkeypatch.setattr(Table, "column_names", property(lambda table: calls.append(table) or names(table)))
    return calls


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_columns_are_not_listed_once_for_each_column(tmp_path, listed):
    """Arrow makes a list of all names each time, so that time would grow with the square of their number."""
    counts = []
    for columns in (6, 24):
        cells = {f"c{i}": ([0.5, 1.5, 2.5, 3.5] if i % 2 else list("abcd")) * 4 for i in range(columns)}
        table = pyarrow.table(cells | {"y": list("uv") * 8})
        run = tables.fit(table, "y", run=tmp_path / str(columns), epochs=1, verbose=False, latent_dim=8, num_latents=2)
        run.predict(table.select(table.column_names[: columns // 2]))
        counts.append(len(listed))
        listed.clear()
    assert counts[0] == counts[1]
