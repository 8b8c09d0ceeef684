"""Where does the time of training go? ``python -m benchmarks.epochs digits FILE:TARGET ...``

Trains on each table for some steps with default settings, and prints rows per second and the share of each part of the
time. A part's time is its own, without the parts that it calls.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.loops.evaluation_loop import _EvaluationLoop
from lightning.pytorch.loops.optimization.automatic import Closure

from perceiver_pytorch.data import TableDataset
from perceiver_pytorch.data.loading import BatchReader
from perceiver_pytorch.tables import fit
from perceiver_pytorch.training.run.averaging import AveragedWeights
from perceiver_pytorch.training.run.callbacks import History
from perceiver_pytorch.training.run.checkpoints import Checkpoints
from perceiver_pytorch.training.run.loop import Resumable
from perceiver_pytorch.training.run.optimizers import Lamb
from perceiver_pytorch.training.table import module

PARTS: dict[str, Sequence[tuple[Any, str]]] = {
    "rows": ((BatchReader, "__getitem__"),),
    "augment": ((module, "augmented"), (module, "mixed")),
    "forward": ((module.TableModule, "training_step"),),
    "backward": ((torch.Tensor, "backward"),),
    "optimiser": ((Resumable, "configure_gradient_clipping"), (torch.optim.AdamW, "step"), (Lamb, "step")),
    "average": ((AveragedWeights, "on_train_batch_end"),),
    "logging": ((Resumable, "learned"), (TensorBoardLogger, "log_metrics"), (History, "on_train_epoch_end")),
    "validation": ((_EvaluationLoop, "run"),),
    "checkpoints": ((Checkpoints, "save"),),
    "else": ((pl.Trainer, "fit"), (Closure, "__call__")),
}
"""The functions whose time is that of a part; ``else`` is what Lightning does besides. Where workers read the rows,
waiting for them is ``else``."""


@dataclass
class Clock:
    """Seconds of nested parts, each without those within it.

    Attributes:
        seconds: by the names of the parts.
    """

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    _open: list[str] = field(default_factory=list)
    _since: float = 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Counts what the block takes."""
        self._turn()
        self._open.append(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, which counts what its calls take."""

        @wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            with self.part(name):
                return function(*arguments, **options)

        return call

    def _turn(self) -> None:
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now


def measured(table: str, target: str, steps: int, options: dict[str, Any]) -> dict[str, float]:
    """The ``count`` of rows learned from, and seconds: of ``fit``, of each of its `PARTS`, and of ``decoding``
    the rows beforehand."""
    clock, decoding, rows = Clock(), Clock({"decoding": 0.0}), 0
    learned = Resumable.learned

    def counted(self: Any, loss: torch.Tensor, count: int = 1) -> None:
        nonlocal rows
        rows += count
        learned(self, loss, count)

    with tempfile.TemporaryDirectory() as where, ExitStack() as patches:
        patches.enter_context(patch.object(Resumable, "learned", counted))
        prepare = decoding.timed("decoding", TableDataset.prepare)
        patches.enter_context(patch.object(TableDataset, "prepare", prepare))
        for name, functions in PARTS.items():
            for owner, function in functions:
                timed = clock.timed(name, getattr(owner, function))
                patches.enter_context(patch.object(owner, function, timed))
        fit(table, target, run=Path(where) / "run", **{"steps": steps, "verbose": False, **options})
    return {"count": rows, "fit": sum(clock.seconds.values()), **decoding.seconds, **clock.seconds}


def line(name: str, found: dict[str, float]) -> str:
    """A row of the printed table."""
    shares = " | ".join(f"{found[part] / found['fit']:.1%}" for part in PARTS)
    return f"| {name} | {found['count'] / found['fit']:.0f} | {found['decoding']:.1f} s | {shares} |"


def main() -> None:
    """Measures the tables that are named, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="+", metavar="TABLE[:TARGET]", help="a built-in set, or a file and its target")
    parser.add_argument("--ignore", nargs="*", default=[], metavar="COLUMN", help="columns that tell the target")
    parser.add_argument("--steps", type=int, default=200)
    given = parser.parse_args()
    print(f"{torch.get_num_threads()} threads; {given.steps} steps\n")
    print(f"| table | rows per second | decoding beforehand | {' | '.join(PARTS)} |")
    print("|---" * (len(PARTS) + 3) + "|")
    for text in given.tables:
        table, _, target = text.partition(":")
        columns = {"columns": dict.fromkeys(given.ignore, "ignore")} if target else {}  # a built-in set tells nothing
        print(line(Path(table).stem, measured(table, target or "answer", given.steps, columns)), flush=True)


if __name__ == "__main__":
    main()
