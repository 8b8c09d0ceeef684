"""The folder that an export writes: whole or not at all, and over nothing but an earlier one."""

import contextlib
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import torch

from perceiver_pytorch.models.card import LIBRARY
from perceiver_pytorch.runtime.bundle import is_bundle
from perceiver_pytorch.runtime.graph import is_graph


def made_with() -> dict[str, str]:
    """Versions of what exports."""
    return {LIBRARY: version(LIBRARY), "torch": str(torch.__version__)}


def check_free(target: Path) -> None:
    """Raises a ValueError for a path that has something else than an earlier export."""
    if target.exists() and not target.is_dir():
        raise ValueError(f"{target} is a file; choose a folder")
    if target.is_dir() and any(target.iterdir()) and not (is_bundle(target) or is_graph(target)):
        raise ValueError(f"{target} has other files; choose a new folder, or empty this one")


@contextlib.contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A folder to write into, which takes the place of ``target`` at the end of the block, if nothing goes wrong."""
    above = target.absolute().parent
    above.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=above) as folder:
        place = Path(folder) / "new"
        place.mkdir()
        yield place
        if target.exists():
            target.rename(Path(folder) / "old")
        place.rename(target)
