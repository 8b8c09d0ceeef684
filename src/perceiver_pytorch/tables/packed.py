"""A trained run without its folder, for estimators that are copied, pickled and sent to other processes."""

import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any

from perceiver_pytorch.tables.run import Run
from perceiver_pytorch.training.table.run import TableRun


class PackedRun:
    """The bytes of the files that a model is used by: settings, what was learned about the table, and weights.

    A pickle holds these bytes alone; the weights are safetensors.

    Args:
        folder: the run, which may be removed afterwards.
    """

    def __init__(self, folder: TableRun) -> None:
        self.files = {file.name: file.read_bytes() for file in folder.needed_to_predict}

    def write(self, path: Path) -> None:
        """Writes the files into a folder, which `Run.open`, ``perceiver predict`` and ``evaluate`` take."""
        path.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (path / name).write_bytes(content)

    @cached_property
    def run(self) -> Run:
        """The run, with its model in memory."""
        with tempfile.TemporaryDirectory() as folder:
            self.write(Path(folder))
            run = Run(TableRun(Path(folder)))
            _ = run.config, run.spec, run.model  # read now: the folder does not stay
        return run

    def __getstate__(self) -> dict[str, Any]:
        return {"files": self.files}
