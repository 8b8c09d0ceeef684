"""The cells of an experiment, in as many processes at once as cores and memory allow."""

import multiprocessing
import multiprocessing.connection
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from perceiver_pytorch._memory import free_memory, usable_cores
from perceiver_pytorch.experiments.cells import Cell, all_cells, cells_of, data_digest
from perceiver_pytorch.experiments.findings import wide_sets
from perceiver_pytorch.experiments.progress import Standing
from perceiver_pytorch.experiments.spec import Experiment
from perceiver_pytorch.experiments.store import RUNNING, WAITING, Record, Store
from perceiver_pytorch.experiments.worker import INTERRUPTED_CODE, Order, process

_LOOK = 0.5  # seconds from one look at the store to the next, while others have the cells
_LONG_LOOK = 5.0  # while a process of ours works, whose end is told; a look at thousands of cells takes a while
_FIRST_GUESS_MB = 1500  # memory of a cell, until one has told
_SPARE = 1.25
_PATIENCE = 10.0  # seconds that an interrupted process has to end

Watch = Callable[[Standing], None]


@dataclass
class Worker:
    """A process that trains cells.

    Attributes:
        child: the process.
        orders: where cells go, and the keys of those that are done come from.
        order: what it works on; None: it waits.
    """

    child: Any
    orders: Connection
    order: Order | None = None


class Runner:
    """Runs an experiment in a folder, together with whoever else does.

    Args:
        experiment: what to run.
        folder: where results are kept; one that was stopped goes on.
        data: the folder that paths of tables start at; None: the current one.
        processes: cells at once, at most; None: as many as there are cores.
        watch: is told how things stand.

    Raises:
        ValueError, TypeError: for cells that cannot be configured.
        DataError: for a table that cannot be read.
    """

    def __init__(
        self,
        experiment: Experiment,
        folder: Path,
        *,
        data: Path | None = None,
        processes: int | None = None,
        watch: Watch = lambda standing: None,
    ) -> None:
        self.experiment, self.folder, self.data, self.watch = experiment, folder, data, watch
        self.processes = processes or usable_cores()
        cells = all_cells(experiment, data=data)
        self.digests = {one.name: data_digest(one, experiment, data) for one in experiment.sets}
        self.store = Store(folder)
        self.cells: dict[str, Cell] = {}
        self.workers: list[Worker] = []
        self._want(cells, only=True)

    def run(self, *, retry: bool = False) -> list[Record]:
        """Runs all cells that have neither a result nor an error, and those that wide intervals ask for.

        Args:
            retry: cells that failed before as well.

        Returns:
            All cells.

        Raises:
            KeyboardInterrupt: for Ctrl-C; finished cells are kept.
        """
        if retry:
            self.store.retry_failed()
        self._remove_left_runs()
        context = _context()
        with _one_thread_each(), self.store.owning() as owner:
            try:
                while self._go_on(context, owner):
                    pass
            finally:
                self._stop()
        return self.store.records()

    def _go_on(self, context: Any, owner: str) -> bool:
        """One look: whether anything is left."""
        self._reap(owner)
        self.store.release_lost()
        records = self.store.records()
        waiting = [record.key for record in records if record.state == WAITING and record.key in self.cells]
        while waiting and self._has_room(records):
            key = self.store.claim(waiting, owner)
            if key is None:
                break
            waiting.remove(key)
            self._start(context, key, owner)
        self.watch(Standing.of(self.experiment, self.store.records(), self.processes))
        if busy := self._busy():
            ends = [end for worker in busy for end in (worker.child.sentinel, worker.orders)]
            multiprocessing.connection.wait(ends, timeout=_LONG_LOOK)
            return True
        if any(record.state in (WAITING, RUNNING) for record in records):  # another process has them
            time.sleep(_LOOK)
            return True
        return self._add_seeds(records)

    def _start(self, context: Any, key: str, owner: str) -> None:
        order = Order(
            self.folder.absolute(),
            self.cells[key],
            key,
            owner,
            tuple(metric.name for metric in self.experiment.metrics),
            self.experiment.keep_models,
        )
        worker = next((worker for worker in self.workers if worker.order is None), None) or self._new_worker(context)
        worker.order = order
        with suppress(OSError):  # it has just died: the next look tells
            worker.orders.send(order)

    def _new_worker(self, context: Any) -> Worker:
        orders, its_end = context.Pipe()
        child = context.Process(target=process, args=(its_end,), daemon=False)
        child.start()
        its_end.close()
        self.workers.append(Worker(child, orders))
        return self.workers[-1]

    def _busy(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.order is not None]

    def _reap(self, owner: str) -> None:
        """Takes note of cells that are done, and of processes that have ended; one that was killed left no result."""
        for worker in self.workers:
            with suppress(EOFError, OSError):
                if worker.orders.poll():
                    worker.orders.recv()
                    worker.order = None
        for worker in [worker for worker in self.workers if worker.child.exitcode is not None]:
            self.workers.remove(worker)
            if worker.child.exitcode == INTERRUPTED_CODE:
                raise KeyboardInterrupt
            if worker.order is not None:  # a cell that has told its error is no longer the owner's
                self.store.fail(worker.order.key, owner, death(worker.child.exitcode))
            worker.orders.close()
            worker.child.close()

    def _has_room(self, records: Sequence[Record]) -> bool:
        """Whether another cell fits beside those that run."""
        busy = len(self._busy())
        if busy < len(self.workers) or not busy:  # one that waits has its memory already
            return True
        told = [record.result.get("memory_mb") or 0 for record in records if record.result is not None]
        needed = int(_SPARE * (max(told, default=0) or _FIRST_GUESS_MB)) << 20
        return busy < self.processes and free_memory() > needed

    def _add_seeds(self, records: Sequence[Record]) -> bool:
        """Adds one more seed to every set whose intervals are wide; whether there is any."""
        more: list[Cell] = []
        for name in wide_sets(self.experiment, records):
            there = {record.seed for record in records if record.set == name}
            left = [seed for seed in self.experiment.seeds.further if seed not in there]
            more += cells_of(self.experiment, name, left[0], self.data) if left else []
        self._want(more)
        return bool(more)

    def _want(self, cells: Iterable[Cell], *, only: bool = False) -> None:
        keyed = [(cell.key(self.digests[cell.set]), cell) for cell in cells]
        self.cells |= dict(keyed)
        self.store.want([(key, cell.set, cell.levels, cell.seed) for key, cell in keyed], only=only)

    def _remove_left_runs(self) -> None:
        """Removes the run folders of processes that were killed."""
        for path in (self.folder / "runs").glob("*.*"):
            if not self.store.is_alive(path.name.partition(".")[2]):
                shutil.rmtree(path, ignore_errors=True)

    def _stop(self) -> None:
        """Ends what still runs, and removes what it leaves."""
        for worker in self.workers:
            worker.child.terminate()
        deadline = time.monotonic() + _PATIENCE
        for worker in self.workers:
            worker.child.join(max(0.0, deadline - time.monotonic()))
            if worker.child.exitcode is None:
                worker.child.kill()
                worker.child.join()
            if worker.order is not None:
                shutil.rmtree(worker.order.run, ignore_errors=True)
            worker.orders.close()
        self.workers.clear()


def death(code: int) -> str:
    """What is said of a process that ended without a result."""
    if code >= 0:
        return f"its process ended with code {code}"
    name = signal.strsignal(-code) or "unknown"
    hint = ", which is what the system does where memory runs out" if name == "Killed" else ""
    return f"its process was killed by signal {-code} ({name}){hint}"


def _context() -> Any:
    """Processes that start from one that has loaded the libraries, which takes seconds, and has no threads yet."""
    if "forkserver" not in multiprocessing.get_all_start_methods():  # Windows
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["perceiver_pytorch.experiments.worker", "perceiver_pytorch.experiments.training"])
    return context


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes that are started within the block have one OpenMP thread."""
    before: Mapping[str, str] = dict(os.environ)
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        os.environ.pop("OMP_NUM_THREADS")
        if "OMP_NUM_THREADS" in before:
            os.environ["OMP_NUM_THREADS"] = before["OMP_NUM_THREADS"]
