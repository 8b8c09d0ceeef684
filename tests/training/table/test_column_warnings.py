"""What fit tells of a table that may be meant otherwise."""

import numpy as np

from data_helpers import table_of
from perceiver_pytorch.data import InputSpec, recognise_columns
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table.column_warnings import warn_about_columns
from perceiver_pytorch.training.table.settings import DataConfig

NUMBERS = [float(i % 7) for i in range(20)]


def told(table, **data):
    data = DataConfig(target="y", **data)
    kinds = recognise_columns(table, target="y", split=data.split, overrides=data.columns)
    spec = InputSpec.fit(table, kinds, target="y", rows=np.arange(20))
    lines: list[str] = []
    warn_about_columns(table, spec, np.arange(20), data, Reporter(lines.append, lines.append))
    return lines


def test_nothing_is_doubted_of_a_plain_table(tmp_path):
    assert told(table_of(tmp_path, x=NUMBERS, y=["yes", "no"] * 10)) == []


def test_classes_and_labels_that_look_alike(tmp_path):
    (line,) = told(table_of(tmp_path, x=NUMBERS, y=["yes", "no", "yes", "no "] * 5))
    assert line.startswith("'y' has 'no', 'no ', which differ in spaces or capitals alone; they are learned as")
    assert line.endswith("different classes")
    (line,) = told(table_of(tmp_path, x=NUMBERS, y=[["a", "b"], ["A"], []] * 6 + [["b"]] * 2))
    assert line.startswith("'y' has 'A', 'a', which")
    assert line.endswith("different labels")


def test_a_split_by_another_name(tmp_path):
    table = table_of(tmp_path, x=NUMBERS, set=["train", "train", "test"] * 6 + ["val"] * 2, y=["yes", "no"] * 10)
    assert told(table) == ["column 'set' looks like a split, but is read as an input; if it is one, give --split set"]
    assert told(table, split="set") == []
    assert told(table, columns={"set": "category"}) == []


def test_files_that_are_not_opened(tmp_path):
    for i in range(20):
        (tmp_path / f"{i}.txt").write_text("hello")
    table = table_of(tmp_path, doc=[f"{i}.txt" for i in range(20)], y=["yes", "no"] * 10)
    (line,) = told(table)
    assert line.startswith("column 'doc' has paths of files that are not opened")
    assert told(table, columns={"doc": "text"}) == []


def test_a_column_that_has_the_answer(tmp_path):
    table = table_of(tmp_path, x=NUMBERS, word=["ja", "nein"] * 10, y=["yes", "no"] * 10)
    (line,) = told(table)
    assert line.startswith("column 'word' determines 'y' in every train row")
