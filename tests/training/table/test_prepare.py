"""From a table to the data sets of a run, without training."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest

from perceiver_pytorch.data import DataError, Splits, load_table
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table import prepare
from perceiver_pytorch.training.table.prepare import prepare_table
from perceiver_pytorch.training.table.run import TableRun
from training_helpers import SILENT, tiny_config, write_mixed_table


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_mixed_table(tmp_path_factory.mktemp("mixed"), rows=24)


def prepared(config, run, *, reporter=SILENT, given=None, resume=False):
    return prepare_table(config, run, reporter, given=given, resume=resume)


def with_data(config, **data):
    return dataclasses.replace(config, data=dataclasses.replace(config.data, **data))


def test_rows_are_divided_and_decoded_and_told_of(table, tmp_path):
    said = []
    data = prepared(tiny_config(table), TableRun(tmp_path), reporter=Reporter(said.append, said.append))
    assert {name: len(rows) for name, rows in data.datasets.items()} == {"train": 16, "val": 4, "test": 4}
    assert all(rows.prepared for rows in data.datasets.values())
    assert [modality.name for modality in data.spec.modalities] == ["picture", "sound", "note", "numbers", "categories"]
    assert said[0].startswith("label: ")
    assert "rows: 16 train, 4 validation, 4 test" in said
    assert data.source is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_asked_for_its_target_and_a_folder_may_have_one(table, tmp_path):
    with pytest.raises(ValueError, match=r"which column is to be predicted\? Columns: picture, sound"):
        prepared(tiny_config(table, target=""), TableRun(tmp_path))
    for name in "ab":
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(4):
            (tmp_path / "pictures" / name / f"{i}.png").write_bytes((table.parent / f"{i}.png").read_bytes())
    data = prepared(tiny_config(tmp_path / "pictures", target=""), TableRun(tmp_path))
    assert data.config.data.target == "label"


def test_a_resumed_run_keeps_what_was_learned_when_it_began(table, tmp_path):
    run, config = TableRun(tmp_path), tiny_config(table)
    data = prepared(config, run)
    run.write_table(data.fingerprint)
    run.write_spec(data.spec)
    said = []
    again = prepared(config, run, resume=True, reporter=Reporter(said.append, said.append))
    assert again.spec == data.spec
    assert again.fingerprint == data.fingerprint
    kept = load_table(str(table))
    fewer = dataclasses.replace(kept, rows=kept.rows.slice(0, 23))
    with pytest.raises(ValueError, match=r"has changed since .* began: it has 23 rows, and had 24"):
        prepared(config, run, given=fewer, resume=True)
    assert prepared(config, run, given=fewer).fingerprint["rows"] == 23  # a new run may


def test_a_run_that_was_killed_before_it_learned_begins_anew(table, tmp_path):
    run = TableRun(tmp_path)
    run.write_table({"rows": "of another attempt"})
    assert len(prepared(tiny_config(table), run, resume=True).datasets["train"]) == 16


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"lable": 1.0}, "a target of task_weights must be one of 'label'; got 'lable'"),
        ({"label": -1.0}, r"task_weights\['label'\] must be a number of 0 or more, got -1.0"),
        ({"label": 0.0}, "task_weights are all 0"),
    ],
)
def test_weights_of_targets_are_checked(table, tmp_path, weights, message):
    with pytest.raises(ValueError, match=message):
        prepared(tiny_config(table, task_weights=weights), TableRun(tmp_path))


def test_bad_rows_stop_or_are_counted(table, tmp_path):
    config = with_data(tiny_config(table), columns={"place": "number"})
    with pytest.raises(DataError, match="row 0, column 'place'"):
        prepared(config, TableRun(tmp_path))
    with pytest.raises(DataError, match="none of the 16 rows can be used"):
        prepared(with_data(config, on_error="skip"), TableRun(tmp_path))
    path = write_mixed_table(tmp_path / "broken", rows=24)
    (path.parent / "1.png").write_bytes(b"no picture")
    said = []
    data = prepared(
        with_data(tiny_config(path), on_error="skip"), TableRun(tmp_path), reporter=Reporter(warn=said.append)
    )
    assert list(data.datasets["train"].bad) == [1]
    assert said == ["1 bad row is left out; the report lists them"]


def write_csv(folder, rows, name="t.csv"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join(rows) + "\n")
    return folder / name


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (0, None),
        (2, None),
        (0.5, None),
        (True, r"task_weights\['b'\] must be a number of 0 or more, got True"),
        ("2", "must be a number of 0 or more, got '2'"),
        (math.inf, "must be a number of 0 or more, got inf"),
        (math.nan, "must be a number of 0 or more, got nan"),
        (-0.1, "must be a number of 0 or more, got -0.1"),
    ],
)
def test_a_weight_is_a_finite_number(weight, message):
    spec = SimpleNamespace(targets=[SimpleNamespace(name=name) for name in "ab"])
    if message is None:
        prepare._check_task_weights(spec, {"b": weight})
    else:
        with pytest.raises(ValueError, match=message):
            prepare._check_task_weights(spec, {"b": weight})
    prepare._check_task_weights(spec, {})
    with pytest.raises(ValueError, match="task_weights are all 0; there is nothing to learn"):
        prepare._check_task_weights(spec, {"a": 0.0, "b": 0})


def test_what_was_recognised_is_a_line_each():
    modalities = [("numbers", "number", "x, z", "(2)", "as they are"), ("note", "text", "note", "(8)", "bytes")]
    spec = SimpleNamespace(
        targets=[SimpleNamespace(name="y", note=lambda: "2 classes")],
        describe=lambda most: modalities[:most] if most == 8 else [],
        unused=["a", "b"],
    )
    splits = Splits(np.arange(1200), np.arange(3), np.arange(0))
    lines = prepare._describe(spec, splits)
    assert lines == [
        "y: 2 classes",
        "  numbers: number, (2) (as they are) of x, z",
        "  note: text, (8) (bytes)",
        "  not used: a, b",
        "rows: 1,200 train, 3 validation, 0 test",
    ]
    spec.unused = []
    assert prepare._describe(spec, splits) == [*lines[:3], lines[4]]


@pytest.mark.parametrize("name", ["label", "cls", "class"])
def test_the_usual_names_of_a_target_are_taken_in_their_order(tmp_path, name):
    config = tiny_config(tmp_path, target="")
    names = ["x", *("label", "cls", "class")[("label", "cls", "class").index(name) :]][::-1]
    found = prepare._with_target(config, SimpleNamespace(column_names=names), in_memory=False)
    assert found.data.target == name
    for table, in_memory in ((SimpleNamespace(column_names=names), True), (SimpleNamespace(column_names=["x"]), False)):
        with pytest.raises(ValueError, match="which column is to be predicted"):
            prepare._with_target(config, table, in_memory=in_memory)


def test_a_resumed_run_says_where_it_looks_for_its_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = TableRun(tmp_path / "runs" / "first")
    config = tiny_config("gone.csv", target="y")
    with pytest.raises(DataError, match=r"gone\.csv.*\. The run names its table .*: perceiver fit TABLE --resume"):
        prepare._load(config, run, None, resume=True)
    with pytest.raises(DataError) as error:
        prepare._load(config, run, None, resume=False)
    assert "The run names" not in str(error.value)
    (tmp_path / "gone.csv").write_text("")
    with pytest.raises(DataError) as error:  # it is there and cannot be read
        prepare._load(config, run, None, resume=True)
    assert "The run names" not in str(error.value)


def test_doubts_are_kept_for_the_report_and_those_of_a_resumed_run_stay(tmp_path):
    rows = [
        "x,kind,split,y",
        *(f"{i % 5},{'uv'[i % 2]},{'val' if i % 6 == 5 else 'train'},{'ab'[i % 2]}" for i in range(36)),
    ]
    config, run, told = tiny_config(write_csv(tmp_path / "d", rows), target="y"), TableRun(tmp_path / "run"), []
    (tmp_path / "run").mkdir()
    data = prepared(config, run, reporter=Reporter(warn=told.append, say=lambda text: None))
    (doubt,) = [text for text in told if text.startswith("column 'kind' determines 'y' in every train row")]
    assert doubt in data.warnings
    run.write_spec(data.spec)
    run.write_table(data.fingerprint)
    run.write_warnings(["as it was told then"])
    told.clear()
    again = prepared(config, run, resume=True, reporter=Reporter(warn=told.append, say=lambda text: None))
    assert (again.warnings, told) == (["as it was told then"], [])


def test_rows_with_equal_inputs_are_told_of_where_a_run_begins(tmp_path):
    rows = ["x,split,y", *(f"{i % 24 / 7},{'val' if i > 23 else 'train'},{'ab'[i % 2]}" for i in range(36))]
    config, told = tiny_config(write_csv(tmp_path / "d", rows), target="y"), {}
    for compare in (True, False):
        lines = told.setdefault(compare, [])
        reporter = Reporter(warn=lines.append, say=lambda text: None)
        prepare_table(config, TableRun(tmp_path), reporter, given=None, resume=False, compare=compare)
    assert set(told[False]) < set(told[True])


def test_bad_rows_are_counted_in_words(tmp_path):
    path = write_mixed_table(tmp_path / "broken", rows=24)
    for i in (1, 2):
        (path.parent / f"{i}.png").write_bytes(b"no picture")
    said = []
    data = prepared(
        with_data(tiny_config(path), on_error="skip"), TableRun(tmp_path), reporter=Reporter(warn=said.append)
    )
    assert "2 bad rows are left out; the report lists them" in said
    assert "2 bad rows are left out; the report lists them" not in data.warnings


@pytest.mark.parametrize(("most", "changed"), [(16, False), (17, True), (None, True)])
def test_many_rows_are_not_changed_at_random(table, tmp_path, most, changed):
    said, config = [], tiny_config(table)
    config = dataclasses.replace(config, augment=dataclasses.replace(config.augment, enabled=True, most_rows=most))
    data = prepared(config, TableRun(tmp_path), reporter=Reporter(said.append, said.append))
    assert data.config.augment.enabled is changed
    assert any("no random changes: 16 train rows" in line for line in said) is not changed
