"""What checkpoints hold about the data of a run: how long training waited for them, and which rows were bad."""

from typing import Any

import lightning.pytorch as pl

from perceiver_pytorch.data import BadRow, BatchLoader, TableDataset


class DataCheckpoint(pl.Callback):
    """Keeps both in the checkpoints, so that a resumed run reports on all of its steps.

    Args:
        loader: of the train rows.
        datasets: whose bad rows count.
    """

    def __init__(self, loader: BatchLoader, datasets: dict[str, TableDataset]) -> None:
        self.loader = loader
        self.datasets = datasets

    @property
    def state_key(self) -> str:
        return "DataWatch"  # its name in checkpoints, also in those of earlier versions

    def state_dict(self) -> dict[str, Any]:
        waiting = self.loader.waiting
        bad = {
            name: [[entry.row, entry.column, entry.reason] for entry in dataset.bad.values()]
            for name, dataset in self.datasets.items()
        }
        return {"waited": waiting.waited, "seconds": waiting.seconds, "bad": bad}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.loader.waiting.waited, self.loader.waiting.seconds = state_dict["waited"], state_dict["seconds"]
        for name, bad in state_dict["bad"].items():
            if name in self.datasets:
                self.datasets[name].bad |= {row: BadRow(row, column, reason) for row, column, reason in bad}
