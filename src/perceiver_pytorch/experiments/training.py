"""One cell, trained: what its result says."""

import shutil
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from perceiver_pytorch.experiments.cells import Cell
from perceiver_pytorch.experiments.matching import Builder, num_operations, on_meta
from perceiver_pytorch.training.run.history import read_history
from perceiver_pytorch.training.run.job import INTERRUPTED, run_job
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table.quiet_task import KeptRows, QuietTask
from perceiver_pytorch.training.table.run import TableRun
from perceiver_pytorch.training.table.settings import FitConfig

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")  # Linux
_OF_MODALITIES = ("modalities.", "combinations.")
QUIET = Reporter(say=lambda text: None, warn=lambda text: None)


def train_cell(
    cell: Cell, folder: Path, metrics: tuple[str, ...], *, keep: bool = False, kept: KeptRows | None = None
) -> dict[str, Any]:
    """Trains a cell from its beginning, whatever a process that was killed has left of it.

    Args:
        cell: what to train.
        folder: for its run folder.
        metrics: the numbers of ``metrics.json`` to report, ``outer.inner`` where they are nested. Targets that have the
            first one may lack others.
        keep: leave the run folder.
        kept: rows of the cell before; None: they are read.

    Returns:
        JSON values: ``metrics``, ``split`` (which rows they are of), ``parameters``, ``operations`` (of one row's
        forward pass), ``steps``, ``seconds`` (of training with its validations), ``cpu_seconds`` and ``memory_mb`` (of
        the process), ``chosen`` (sizes chosen to equal another level), ``history``.

    Raises:
        ValueError: for a table or a configuration that cannot be used, or if there is no such first metric.
    """
    began = time.process_time()
    forget_peak_memory()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run, builder = TableRun.create(folder), Builder(cell)
    try:
        combinations = any(name.startswith(_OF_MODALITIES) for name in metrics)
        task = QuietTask(
            _on_one_core(cell.config), kept or KeptRows(), build=builder, measures_combinations=combinations
        )
        outcome = run_job(task, run, reporter=QUIET)
        if outcome.stopped == INTERRUPTED:
            raise KeyboardInterrupt
        told, spec = outcome.metrics, task.data.spec
        sizes = task.data.config.model
        return {
            "metrics": _metrics(told, metrics),
            "split": told["split"],
            "parameters": told["parameters"],
            "operations": num_operations(on_meta(lambda: builder(spec, sizes)), spec),
            "steps": told["trained"]["steps"],
            "seconds": told["train_seconds"],
            "cpu_seconds": round(time.process_time() - began, 3),
            "memory_mb": peak_memory_mb(),
            "chosen": builder.chosen,
            "history": read_history(run.history_file),
        }
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _on_one_core(config: FitConfig) -> FitConfig:
    """The configuration without processes that decode beside the cell: there is one cell for each core already."""
    return replace(config, training=replace(config.training, num_workers=0))


def _metrics(told: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, float]:
    """The first, and those of the others that there are."""
    found = {names[0]: metric_of(told, names[0])}
    for name in names[1:]:
        with suppress(ValueError):
            found[name] = metric_of(told, name)
    return found


def metric_of(metrics: Mapping[str, Any], name: str) -> float:
    """A number of ``metrics.json``.

    Raises:
        ValueError: if there is none of this name.
    """
    value: Any = metrics
    for key in name.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        there = [key for key, each in metrics.items() if isinstance(each, int | float) and not isinstance(each, bool)]
        raise ValueError(f"there is no metric {name!r} of this target; there are {', '.join(there)}")
    return float(value)


def forget_peak_memory() -> None:
    """Lets `peak_memory_mb` begin anew, where the system can."""
    with suppress(OSError):
        _CLEAR.write_text("5", encoding="ascii")


def peak_memory_mb() -> int | None:
    """The most memory that this process has had; None where the system does not say."""
    with suppress(OSError, StopIteration):
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
        return round(int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / (1 << 10))
    try:
        import resource
    except ImportError:  # Windows
        return None
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(size / (1 << 20 if sys.platform == "darwin" else 1 << 10))
