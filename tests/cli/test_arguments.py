import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from perceiver_pytorch.cli.arguments import asked_settings, deadline_of, stopped_folder, train
from perceiver_pytorch.training.run import job
from perceiver_pytorch.training.table.settings import preset


def test_options_win_over_set_which_wins_over_the_file_which_wins_over_the_preset(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("training: {epochs: 2, lr: 0.1, seed: 3}\ndata: {columns: {a: image}}\n")
    given = {("training", "epochs"): 4, ("data", "columns", "b.c"): "text"}
    config = asked_settings(preset("small"), file, ["training.epochs=3", "training.lr=0.2"], given)
    assert (config.training.epochs, config.training.lr, config.training.seed) == (4, 0.2, 3)
    assert config.data.columns == {"a": "image", "b.c": "text"}
    assert config.model == preset("small").model


def test_a_stopped_run_is_that_of_resume_or_of_run():
    assert stopped_folder("runs/a", Path("runs/b")) == Path("runs/a")
    assert stopped_folder("", Path("runs/b")) == Path("runs/b")
    with pytest.raises(ValueError, match="--resume needs the folder"):
        stopped_folder("", None)


def run_folder(path, config=True):
    path.mkdir()
    if config:
        (path / "config.yaml").write_text("x")
    return SimpleNamespace(path=path, config_file=path / "config.yaml", resume_command="perceiver fit --resume it")


def finishing(monkeypatch, result):
    def run_job(task, folder, **options):
        if isinstance(result, BaseException):
            raise result
        return result

    monkeypatch.setattr(job, "run_job", run_job)


def test_an_interrupted_run_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    for number, result in enumerate([job.Outcome({}, job.INTERRUPTED), KeyboardInterrupt()]):
        finishing(monkeypatch, result)
        folder = run_folder(tmp_path / str(number))
        assert train(None, folder, resume=False, deadline=None) is None
        assert "stopped, all is saved; go on with: perceiver fit --resume it" in capsys.readouterr().out


def test_a_run_that_saved_nothing_leaves_no_folder(tmp_path, monkeypatch):
    finishing(monkeypatch, KeyboardInterrupt())
    folder = run_folder(tmp_path / "a", config=False)
    with pytest.raises(KeyboardInterrupt):
        train(None, folder, resume=False, deadline=None)
    assert not folder.path.exists()


def test_a_time_limit_is_told(tmp_path, monkeypatch, capsys):
    outcome = job.Outcome({"a": 1}, "time limit")
    finishing(monkeypatch, outcome)
    assert train(None, run_folder(tmp_path / "a"), resume=False, deadline=None) is outcome
    assert "stopped: time limit; go on with: perceiver fit --resume it" in capsys.readouterr().out


def test_a_time_limit_begins_with_the_command_that_started_a_rank(monkeypatch):
    assert deadline_of(None) is None
    assert 59 < deadline_of("1m").left() <= 60
    monkeypatch.setenv("PERCEIVER_BEGAN", str(time.time() - 20))
    assert 39 < deadline_of("1m").left() <= 40
