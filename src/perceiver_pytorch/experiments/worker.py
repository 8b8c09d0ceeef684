"""Cells in a process of their own, one after another: what one comes to is in the store before the next begins."""

import gc
import multiprocessing
import os
import shutil
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from perceiver_pytorch.experiments.cells import Cell
from perceiver_pytorch.experiments.store import Store

if TYPE_CHECKING:
    from perceiver_pytorch.training.table.quiet_task import KeptRows

INTERRUPTED_CODE = 130


@dataclass(frozen=True)
class Order:
    """What a process is to do.

    Attributes:
        folder: of the experiment.
        cell: to train.
        key: its hash.
        owner: for whom.
        metrics: names of the numbers to report.
        keep: leave the run folder.
    """

    folder: Path
    cell: Cell
    key: str
    owner: str
    metrics: tuple[str, ...]
    keep: bool

    @property
    def run(self) -> Path:
        """The run folder while it is trained: nobody else's, not even of one that is being killed."""
        return self.folder / "runs" / f"{self.key}.{self.owner}"

    @property
    def kept(self) -> Path:
        """Where it is kept, if it is."""
        return self.folder / "runs" / self.key

    @property
    def log(self) -> Path:
        """What libraries print; gone where all went well."""
        return self.folder / "logs" / f"{self.key}.txt"


def process(orders: Connection) -> None:
    """Trains the cell of every `Order` that comes, and keeps its result or its error.

    It ends with the process that started it, or behind a cell that failed: whatever that left is gone with it. The key
    of a cell that is done goes back.
    """
    _end_with_runner()
    os.environ["OMP_NUM_THREADS"] = "1"  # of processes that this one starts
    from perceiver_pytorch.training.table.quiet_task import KeptRows

    kept, code = KeptRows(), 0
    while code == 0 and (order := _next(orders)) is not None:
        order.log.parent.mkdir(parents=True, exist_ok=True)
        with _printing_to(order.log):
            code = _train(order, kept)
        if code == 0:
            order.log.unlink(missing_ok=True)
            orders.send(order.key)
        gc.collect()  # a model and its trainer know each other
    os._exit(code)  # nothing is left to do; libraries' threads need not be waited for


def _end_with_runner() -> None:
    """Ends this process when the one that gives the orders is gone; its parent is a server, which outlives it."""
    runner = multiprocessing.parent_process()

    def wait() -> None:
        assert runner is not None
        runner.join()
        os._exit(1)

    if runner is not None:
        threading.Thread(target=wait, daemon=True).start()


def _next(orders: Connection) -> Order | None:
    """None where there are no more, or Ctrl-C was pressed."""
    try:
        return orders.recv()
    except (EOFError, KeyboardInterrupt):
        return None


def _train(order: Order, kept: "KeptRows") -> int:
    store = Store(order.folder)
    try:
        import torch

        from perceiver_pytorch.experiments.training import train_cell

        torch.set_num_threads(1)  # a cell for each core is faster than a core for each operation
        result = train_cell(order.cell, order.run, order.metrics, keep=order.keep, kept=kept)
        if order.keep:
            shutil.rmtree(order.kept, ignore_errors=True)
            order.run.rename(order.kept)
        store.finish(order.key, order.owner, result)
    except KeyboardInterrupt:
        return INTERRUPTED_CODE
    except Exception as error:  # whatever it is, other cells go on
        traceback.print_exc()
        store.fail(order.key, order.owner, f"{type(error).__name__}: {error}")
        return 1
    finally:
        store.close()
    return 0


@contextmanager
def _printing_to(path: Path) -> Iterator[None]:
    """What this process prints, libraries in C included, goes to a file."""
    with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        yield
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
