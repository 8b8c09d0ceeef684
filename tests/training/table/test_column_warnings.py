"""What fit tells of a table that may be meant otherwise."""

import numpy as np
import pytest

from data_helpers import shades, table_of, video
from perceiver_pytorch.data import InputSpec, recognise_columns
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table.column_warnings import warn_about_columns
from perceiver_pytorch.training.table.settings import DataConfig
from perceiver_pytorch.training.table.suspects import find_suspects

NUMBERS = [float(i % 7) for i in range(20)]


def tell(table, spec, rows, data, lines):
    suspects = find_suspects(table, spec.kinds, spec.targets, rows)
    warn_about_columns(table, spec, rows, data, suspects, Reporter(lines.append, lines.append))


def told(table, **data):
    data = DataConfig(target="y", **data)
    kinds = recognise_columns(table, target="y", split=data.split, overrides=data.columns)
    spec = InputSpec.fit(table, kinds, target="y", rows=np.arange(20))
    lines: list[str] = []
    tell(table, spec, np.arange(20), data, lines)
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
    assert line.endswith("if it is the answer itself, leave it out with --column word=ignore")


def test_a_column_in_another_unit_is_told_of_once(tmp_path):
    answers = [1000.5 + i * i for i in range(20)]
    told_of = told(table_of(tmp_path, x=[2.54 * value for value in answers], y=answers))
    assert told_of == [
        "column 'x' is proportional to 'y' in the train rows, but for a constant; if it is the answer itself, leave it "
        "out with --column x=ignore"
    ]
    few = [float(i % 3) for i in range(20)]
    (line,) = told(table_of(tmp_path, x=[2.0 * value for value in few], y=[value + 0.5 for value in few]))
    assert line.startswith("column 'x' determines 'y' in every train row")


@pytest.mark.parametrize(("count", "more"), [(1, ""), (3, ""), (4, " ..")])
def test_cells_that_are_far_from_all_others_are_named(tmp_path, count, more):
    rows = 100
    numbers = [1e9 + i if i < count else float(i % 7) for i in range(rows)]
    table = table_of(tmp_path, x=numbers, y=["yes", "no"] * (rows // 2))
    kinds = recognise_columns(table, target="y", split=None)
    spec = InputSpec.fit(table, kinds, target="y", rows=np.arange(rows))
    lines: list[str] = []
    tell(table, spec, np.arange(rows), DataConfig(target="y"), lines)
    named = ", ".join(f"row {row}: {numbers[row]}" for row in range(min(3, count)))
    assert lines == [
        f"column 'x': {count} cells ({named}{more}) are so far from the others that the model can hardly tell those "
        "apart; if they stand for a missing value, leave them empty"
    ]


def test_the_index_of_a_data_frame_is_said_to_be_none_of_the_inputs(tmp_path):
    index = {"__index_level_0__": list(range(20))}
    table = table_of(tmp_path, x=NUMBERS, y=["yes", "no"] * 10, **index)
    assert told(table) == [
        "column '__index_level_0__' is the index of a data frame, and no input; "
        "--column __index_level_0__=number reads it all the same"
    ]
    assert told(table, columns={"__index_level_0__": "ignore"}) == []


def test_sound_of_films_that_is_not_read_is_said(tmp_path):
    film = video(shades(4), sound=np.zeros(4000))
    table = table_of(tmp_path, film=[film, video(shades(4))] * 10, y=["yes", "no"] * 10)
    (line,) = told(table)
    assert "--column film=video+audio reads it" in line
    assert told(table, columns={"film": "video"}) == []
