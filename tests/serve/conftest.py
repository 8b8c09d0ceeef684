"""A small run, and a server of it in a thread."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from perceiver_pytorch import tables
from perceiver_pytorch.serve.app import create_app
from perceiver_pytorch.serve.open import open_served
from perceiver_pytorch.serve.settings import ServeSettings
from serve_helpers import running, write_served_table
from training_helpers import TINY


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with columns of most kinds, and its files."""
    return write_served_table(tmp_path_factory.mktemp("served")).parent


@pytest.fixture(scope="session")
def run(folder: Path) -> tables.Run:
    """Trained on it, for a class and a number."""
    options = {"columns": {"tags": "set", "cloud": "points"}, "epochs": 1, "batch_size": 8, "lr": 5e-3, **TINY}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about sets that are empty
        return tables.fit(folder / "served.csv", ["label", "weight"], run=folder / "run", verbose=False, **options)


@pytest.fixture
def serving() -> Iterator[Callable[..., str]]:
    """Starts a server of what is given, with settings."""
    with contextlib.ExitStack() as stack:

        def start(served: object, examples: object = None, **settings: object) -> str:
            chosen = ServeSettings(**{"drain": 0.1, **settings})
            return stack.enter_context(running(create_app(served, chosen, examples), chosen))

        yield start


@pytest.fixture(scope="session")
def server(run: tables.Run) -> Iterator[str]:
    """The address of one server that all tests may ask."""
    settings = ServeSettings(drain=0.1)
    with running(create_app(open_served(run.path), settings), settings) as address:
        yield address
