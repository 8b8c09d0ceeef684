import pytest

from perceiver_pytorch.training.language.run import LanguageRun
from perceiver_pytorch.training.table.run import TableRun


@pytest.mark.parametrize(("kind", "command"), [(TableRun, "fit TABLE"), (LanguageRun, "language FILE")])
def test_a_run_that_ended_at_once_is_started_anew(tmp_path, kind, command):
    (tmp_path / ".lock").touch()
    (tmp_path / ".config.yaml.partial").touch()
    with pytest.raises(ValueError, match=f"start it again with perceiver {command} --run {tmp_path}"):
        kind.open(tmp_path)
    assert kind.create(tmp_path) == kind(tmp_path)


def test_a_folder_of_something_else_is_no_run(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"is not a run folder: it has no config\.yaml"):
        TableRun.open(tmp_path)
    with pytest.raises(ValueError, match=r"is not empty; choose another with --run, or continue its run with --resume"):
        TableRun.create(tmp_path)
    with pytest.raises(ValueError, match="is not empty"):
        TableRun.create(tmp_path / "notes.txt")


@pytest.mark.parametrize(("kind", "command"), [(TableRun, "fit"), (LanguageRun, "language")])
def test_an_untrained_run_says_how_to_go_on(tmp_path, kind, command):
    run = kind.create(tmp_path)
    assert run.resume_command == f"perceiver {command} --resume {tmp_path}"
    with pytest.raises(ValueError, match=f"has no model yet; continue its training with `{run.resume_command}`"):
        run.load(object)
    with pytest.raises(ValueError, match=r"has no metrics.json; was its training stopped early\?"):
        run.metrics()
    run.metrics_file.write_text("{")
    with pytest.raises(ValueError, match=r"metrics.json is no JSON file"):
        run.metrics()


def test_whoever_writes_removes_what_a_killed_process_left(tmp_path):
    run = TableRun.create(tmp_path / "run")
    run.checkpoints.mkdir()
    for half in (run.path / ".metrics.json.partial", run.checkpoints / ".last.ckpt.partial"):
        half.touch()
    (run.path / ".model.partial").mkdir()
    with run.writing():
        assert [path.name for path in run.path.rglob(".*")] == [".lock"]
    assert not list(run.path.rglob(".*"))


def test_a_file_that_the_run_names_is_found_from_anywhere(tmp_path, monkeypatch):
    run = TableRun(tmp_path / "home" / "runs" / "first")
    (tmp_path / "home" / "data").mkdir(parents=True)
    (tmp_path / "home" / "data" / "t.csv").touch()
    (tmp_path / "digits").touch()
    monkeypatch.chdir(tmp_path / "home")
    assert run.found("data/t.csv") == "data/t.csv"
    monkeypatch.chdir(tmp_path)
    assert run.found("data/t.csv") == str(tmp_path / "home" / "data" / "t.csv")
    for name in ("nowhere.csv", "/nowhere/t.csv", "digits", "hf:name"):
        assert run.found(name) == name
