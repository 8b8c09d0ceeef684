"""A small run and what it is exported to, which all tests here may use and none may change."""

from pathlib import Path

import pytest

from export_helpers import unchecked
from perceiver_pytorch import tables
from perceiver_pytorch.export import export
from perceiver_pytorch.runtime import Bundle
from training_helpers import TINY, write_mixed_table


@pytest.fixture(scope="package")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of pictures, sounds, text, numbers and categories."""
    return write_mixed_table(tmp_path_factory.mktemp("mixed"))


@pytest.fixture(scope="package")
def run(mixed: Path, tmp_path_factory: pytest.TempPathFactory) -> tables.Run:
    """Trained on it."""
    folder = tmp_path_factory.mktemp("run") / "r"
    return tables.fit(mixed, "label", run=folder, epochs=1, batch_size=8, depth=1, verbose=False, **TINY)


@pytest.fixture(scope="package")
def bundle(run: tables.Run, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The run exported, with tiles of a few tokens."""
    with unchecked():
        return export(run, tmp_path_factory.mktemp("exported") / "b", tile=8)
