"""Training from Python."""

from pathlib import Path

import pytest

from perceiver_pytorch import tables
from perceiver_pytorch.training.run.job import Outcome
from perceiver_pytorch.training.run.loop import INTERRUPTED
from perceiver_pytorch.training.table.run import TableRun
from training_helpers import TINY, write_mixed_table

SMALL = {"epochs": 1, "batch_size": 8, "lr": 5e-3, "verbose": False, **TINY}
ROWS = [
    {"x": i / 20, "side": "left" if i < 10 else "right", "split": ["train", "train", "val"][i % 3]} for i in range(20)
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_path_and_its_rows_give_the_same_model(run: tables.Run, mixed: Path) -> None:
    rows = tables.forms.open_table(mixed, tables.training.read_options(run.config.data))[0].rows
    again = tables.fit(rows, target="label", root=mixed.parent, **SMALL)
    assert again.path == Path("runs/table")
    assert again.config.data.table == "an Arrow table"
    weights = [(folder / "model.safetensors").read_bytes() for folder in (run.path, again.path)]
    assert weights[0] == weights[1]


@pytest.mark.filterwarnings("ignore:2 of 4 test rows have the inputs of train rows")
def test_folders_are_called_after_the_table() -> None:
    table = write_mixed_table(Path("data"), rows=24)
    options = SMALL | {"columns": {"picture": "ignore", "sound": "ignore", "note": "ignore"}}
    assert [tables.fit(table, "label", **options).path for _ in range(2)] == [Path("runs/mixed"), Path("runs/mixed-2")]


def test_settings_come_from_preset_file_and_options() -> None:
    Path("c.yaml").write_text("training: {epochs: 7, weight_decay: 0.2}\nmodel: {depth: 1}")
    run = tables.fit(ROWS, "side", config="c.yaml", preset="tiny", run="r", **SMALL)
    config = run.config
    assert (config.training.epochs, config.training.weight_decay, config.model.depth) == (1, 0.2, 1)


def test_what_happens_is_printed_unless_not_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    tables.fit(ROWS, "side", run="a", **SMALL)
    assert capsys.readouterr().out == ""
    tables.fit(ROWS, "side", run="b", **SMALL | {"verbose": True})
    said = capsys.readouterr().out
    assert said.startswith("side: 2 classes")
    assert "side: accuracy" in said
    assert said.endswith("report: b/report.html\n")


@pytest.mark.nightly
def test_a_stopped_run_goes_on_with_the_same_rows_alone() -> None:
    whole = tables.fit(ROWS, "side", run="whole", **SMALL | {"epochs": 2})
    stopped = tables.fit(ROWS, "side", run="stopped", time_limit="0.000001s", **SMALL | {"epochs": 2})
    assert "time limit" in stopped.metrics["stopped"]
    with pytest.raises(ValueError, match=r"keeps its settings as it continues; leave out training.epochs=3"):
        tables.fit(ROWS, resume=stopped, epochs=3)
    with pytest.raises(ValueError, match="has changed since stopped began: the cells of 'x' have changed"):
        tables.fit([row | {"x": row["x"] + 1} for row in ROWS], resume=stopped)
    again = tables.fit(ROWS, resume="stopped", verbose=False)
    weights = [(run.path / "model.safetensors").read_bytes() for run in (whole, again)]
    assert weights[0] == weights[1]
    assert again.metrics["score"] == whole.metrics["score"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epoch": 3}, TypeError, r"there is no setting 'epoch' \(did you mean 'epochs'\?\)"),
        ({"epochs": 0}, ValueError, "training.epochs must be at least 1, got 0"),
        ({"preset": "huge"}, ValueError, "preset must be one of 'auto', 'tiny', 'small', 'base'; got 'huge'"),
        ({"time_limit": "soon"}, ValueError, "time_limit must be a duration"),
        ({"target": "price"}, ValueError, "no column 'price'; its columns are x, side, split"),
        ({"target": None}, ValueError, "which column is to be predicted"),
    ],
)
def test_a_wrong_call_leaves_no_folder(options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        tables.fit(ROWS, **{"target": "side"} | options)
    assert not list(Path("runs").glob("*"))


def test_a_path_has_no_other_root(mixed: Path) -> None:
    with pytest.raises(ValueError, match="root is for tables in memory"):
        tables.fit(mixed, "label", root=".")


def test_an_interrupted_run_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables.training, "run_job", lambda *args, **options: Outcome({}, INTERRUPTED))
    TableRun.create(Path("r"))
    with pytest.raises(KeyboardInterrupt, match=r"go on with fit\(table, resume='r'\)"):
        tables.fit(ROWS, "side", run="r")


@pytest.mark.filterwarnings("ignore:column 'x' is proportional to 'double'")
def test_several_targets_and_predictions_of_them() -> None:
    run = tables.fit([row | {"double": 2 * row["x"]} for row in ROWS], ("side", "double"), run="r", **SMALL)
    (first, *_) = run.predict(ROWS)
    assert list(first) == ["row", "side_prediction", "side_p_left", "side_p_right", "double_prediction", "unusual"]
