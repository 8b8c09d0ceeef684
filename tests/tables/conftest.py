"""A small run that all tests here may use and none may change."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from perceiver_pytorch import tables
from training_helpers import TINY, write_mixed_table


@pytest.fixture(scope="package")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of pictures, sounds, text, numbers and categories."""
    return write_mixed_table(tmp_path_factory.mktemp("mixed"))


@pytest.fixture(scope="package")
def run(mixed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tables.Run]:
    """Trained on it."""
    return tables.fit(
        mixed, "label", run=tmp_path_factory.mktemp("run") / "r", epochs=1, batch_size=8, lr=5e-3, verbose=False, **TINY
    )
