"""What checkpoints hold about the data of a run: how long training waited for them, which rows were bad, and what was
lost of the others."""

from typing import Any

import lightning.pytorch as pl
import torch

from perceiver_pytorch.data import BadRow, BatchLoader, TableDataset


class DataCheckpoint(pl.Callback):
    """Keeps this in the checkpoints, so that a resumed run reports on all of its steps.

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
        late = {name: dataset for name, dataset in self.datasets.items() if not dataset.prepared}
        losses = (
            {"losses": {name: _as_tensor(dataset.losses.state()) for name, dataset in late.items()}} if late else {}
        )
        return {"waited": waiting.waited, "seconds": waiting.seconds, "bad": bad, **losses}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.loader.waiting.waited, self.loader.waiting.seconds = state_dict["waited"], state_dict["seconds"]
        for name, bad in state_dict["bad"].items():
            if name in self.datasets:
                self.datasets[name].bad |= {row: BadRow(row, column, reason) for row, column, reason in bad}
        for name, losses in state_dict.get("losses", {}).items():
            if name in self.datasets and not self.datasets[name].prepared:
                self.datasets[name].losses.load({**losses, "seen": losses["seen"].numpy()})


def _as_tensor(state: dict[str, Any]) -> dict[str, Any]:
    """Checkpoints are read without pickle's arrays."""
    return {**state, "seen": torch.from_numpy(state["seen"])}
