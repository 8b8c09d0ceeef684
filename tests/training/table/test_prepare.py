"""From a table to the data sets of a run, without training."""

import dataclasses

import pytest

from perceiver_pytorch.data import DataError, load_table
from perceiver_pytorch.training.run.reporter import Reporter
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
