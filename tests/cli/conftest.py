"""A small table, and a run on it: made once, since each costs seconds."""

import pytest

from cli_helpers import SETTINGS, perceiver
from training_helpers import write_mixed_table


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    write_mixed_table(folder)
    return folder


@pytest.fixture(scope="session")
def run(folder):
    done = perceiver("fit", "mixed.csv", "--target=label", "--epochs=2", "--run=first", *SETTINGS, cwd=folder)
    assert "measured on test rows:\nlabel: accuracy" in done.stdout
    assert "report: first/report.html" in done.stdout
    return folder / "first"
