"""``perceiver experiment``, as a user has it."""

import io
from pathlib import Path

import pytest

from cli_helpers import perceiver
from experiment_helpers import TEXT, experiment, record, write_table
from perceiver_pytorch.experiments.progress import Standing

pytest.importorskip("sqlalchemy")


def test_a_file_is_run_and_reported(tmp_path: Path) -> None:
    write_table(tmp_path)
    (tmp_path / "mine.yaml").write_text(TEXT)
    done = perceiver("experiment", "mine.yaml", "--quick", "--processes", 1, cwd=tmp_path)
    assert "mine: 2 cells, 1 at once, kept in experiments/mine-quick" in done.stdout
    assert "2 of 2 cells" in done.stdout
    folder = tmp_path / "experiments/mine-quick"
    (folder / "report.html").unlink()
    assert "report.html" in perceiver("experiment", "report", folder, cwd=tmp_path).stdout
    assert "experiment mine.yaml --quick" in (folder / "report.html").read_text()
    assert len((folder / "cells.csv").read_text().splitlines()) == 3


def test_the_list_has_a_question_for_each(tmp_path: Path) -> None:
    lines = perceiver("experiment", "--list", cwd=tmp_path).stdout.splitlines()
    assert any(line.startswith("split-text: ") for line in lines)
    assert all(line.endswith("?") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which experiment?"),
        (["report"], "of which folder?"),
        (["a.yaml", "b"], "takes one file or name"),
        (["nothing"], "must be one of"),
        (["report", "."], "no folder of an experiment"),
        (["wrong.yaml"], "wrong.yaml: seeds must be"),
        (["lost.yaml"], "table.csv"),
    ],
)
def test_what_is_wrong_is_said_before_anything_trains(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "wrong.yaml").write_text(TEXT.replace("seeds: 2", "seeds: some"))
    (tmp_path / "lost.yaml").write_text(TEXT)
    done = perceiver("experiment", *arguments, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "experiments").exists()


def test_the_live_table_has_a_row_for_each_set_and_level() -> None:
    from rich.console import Console

    from perceiver_pytorch.cli.experiment import table

    records = [record("words", "whole", 0, 0.25), record("words", "split", 0, 0.5, state="failed", error="no")]
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(table(Standing.of(experiment(), records, 1)))
    text = console.export_text()
    assert "2 of 2 cells" in text
    assert "0.2500" in text
    assert "failed: words, split, 1, seed 0" in text
