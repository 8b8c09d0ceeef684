"""A trained run from Python."""

import json
from pathlib import Path

import pyarrow.parquet
import pytest

from perceiver_pytorch import tables
from perceiver_pytorch.data import DataError
from perceiver_pytorch.data.calibration import Calibration
from perceiver_pytorch.data.unusual import Unusual
from perceiver_pytorch.tables.rows import Reading
from perceiver_pytorch.training.run.reporter import Reporter

ROWS = [{"size": 0.5, "place": "here", "note": "a remark"}, {"size": None, "place": "there", "note": None}]
LACKS = "ignore:.* has no columns picture, sound"


def test_what_a_run_knows(run: tables.Run) -> None:
    again = tables.Run.open(str(run.path))
    assert again == run
    assert repr(again) == f"Run.open({str(run.path)!r})"
    assert again.config.training.epochs == 1
    assert [target.name for target in again.spec.targets] == ["label"]
    assert again.metrics == json.loads((run.path / "metrics.json").read_text())
    assert again.report().read_text().startswith("<!")
    assert not again.model.training


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a run folder"):
        tables.Run.open(tmp_path / "nothing")
    (tmp_path / "config.yaml").write_text("{}")
    stopped = tables.Run.open(tmp_path)
    for what in (lambda: stopped.model, lambda: stopped.metrics, stopped.report):
        with pytest.raises(ValueError, match=r"has no (model|metrics|report|input_spec)"):
            what()


@pytest.mark.filterwarnings(LACKS)
def test_predictions_are_the_same_in_memory_and_of_a_file(run: tables.Run, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    of_file = run.predict(tmp_path / "t.jsonl", output=tmp_path / "p.parquet")
    assert of_file.column_names == ["row", "prediction", "p_dark", "p_light", "unusual"]
    assert of_file.equals(pyarrow.parquet.read_table(tmp_path / "p.parquet"))
    assert run.predict(ROWS) == of_file.to_pylist()
    assert run.predict(pyarrow.Table.from_pylist(ROWS)).equals(of_file)


@pytest.mark.filterwarnings(LACKS)
def test_predictions_of_a_data_frame_keep_its_index(run: tables.Run) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(ROWS, index=["first", "second"])
    predicted = run.predict(frame)
    assert list(predicted.index) == ["first", "second"]
    assert set(predicted["prediction"]) <= {"dark", "light"}


def test_files_of_cells_are_found_from_root(run: tables.Run, mixed: Path) -> None:
    rows = [{"picture": "1.png", "sound": "1.wav", "note": "", "size": 1.0, "place": "here"}]
    with pytest.raises(DataError, match=r"row 0, column 'picture': there is no file '1.png'"):
        run.predict(rows)
    assert len(run.predict(rows, root=mixed.parent)) == 1


@pytest.mark.filterwarnings(LACKS, "ignore:row 0 is left out")
def test_bad_rows_keep_their_place_where_they_are_skipped(run: tables.Run) -> None:
    rows = [{"size": "large", "place": "here"}, {"size": "1", "place": "here"}]
    with pytest.raises(DataError, match="row 0, column 'size'"):
        run.predict(rows)
    bad, good = run.predict(rows, on_error="skip")
    assert (bad["prediction"], good["error"]) == (None, None)
    assert bad["error"].startswith("size: ")


def test_measured_as_in_training(run: tables.Run, mixed: Path, tmp_path: Path) -> None:
    told: list[str] = []
    result = run.evaluate(mixed, output=tmp_path / "m.json", reporter=Reporter(told.append, told.append))
    assert result["split"] == "test"
    assert result["score"] == run.metrics["score"]
    assert result["combinations"] == run.metrics["combinations"]
    assert json.loads((tmp_path / "m.json").read_text()) == result
    assert told[0] == f"{result['rows']} rows of {mixed} (test)"
    assert told[-1] == f"written: {tmp_path / 'm.json'}"


def test_warnings_are_pythons(run: tables.Run) -> None:
    with pytest.warns(UserWarning, match="a list of dicts has no columns picture, sound"):
        run.predict(ROWS)


def test_an_output_that_cannot_be_written_is_told_at_once(run: tables.Run, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.csv or \.parquet files, got p\.txt"):
        run.predict(ROWS, output="p.txt")


@pytest.mark.filterwarnings(LACKS)
def test_what_rows_lost_is_told_and_written(run: tables.Run, tmp_path: Path) -> None:
    told: list[str] = []
    rows = [{"size": 0.5, "place": "HERE"}] * 30
    run.predict(rows, summary=tmp_path / "s.json", reporter=Reporter(told.append, told.append))
    line = "30 of 30 rows: cells of 'place' have values that the train rows did not have: HERE"
    assert line in told
    summary = json.loads((tmp_path / "s.json").read_text())
    assert (summary["rows"], summary["bad_rows"]) == (30, 0)
    assert summary["warnings"][-1] == line
    (loss,) = summary["losses"]
    assert (loss["column"], loss["rows"], loss["of"], loss["values"]) == ("place", 30, 30, ["HERE"])
    result = run.evaluate([row | {"label": "dark"} for row in rows], reporter=Reporter(told.append, told.append))
    assert told.count(line) == 2
    assert (result["losses"], result["warnings"][-1]) == ([loss], line)


@pytest.mark.filterwarnings(LACKS)
def test_further_calls_read_nothing_again(run: tables.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a model learned of its outputs, and how tables are read: they would take longer than one row."""
    opened = tables.Run.open(run.path)
    opened.load()
    rows = [{"note": "dark", "size": 1.0, "place": "here"}]
    expected = opened.predict(rows, on_error="skip")
    for part in (Calibration, Unusual):
        monkeypatch.setattr(part, "from_json", lambda *given: pytest.fail("it was read again"))
    monkeypatch.setattr(Reading, "adapt", lambda *given: pytest.fail("settings were made again"))
    assert opened.predict(rows, on_error="skip") == expected
    monkeypatch.undo()
    assert opened.predict(rows, on_error="raise") == [{k: v for k, v in expected[0].items() if k != "error"}]
