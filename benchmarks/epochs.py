"""How many rows does a second take, and where does it go? ``python -m benchmarks.epochs digits FILE:TARGET ...``

Trains on each table for some steps with default settings, predicts and evaluates its test rows (all rows of a table
without any), and prints rows per second and the share of each part of the processor time. ``--built-in`` measures all
built-in sets, ``--folder FOLDER`` those of `benchmarks.learning` that are in a folder.

Rows per second are by the clock, those of a core by processor time: beside other programs they say more. Training is
measured without what comes before and after it; prediction and evaluation from the path of the table to the result.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.loops.evaluation_loop import _EvaluationLoop
from lightning.pytorch.loops.optimization.automatic import Closure

from benchmarks.clock import Clock, Functions
from benchmarks.learning.sets import SETS
from benchmarks.machine import describe
from perceiver_pytorch.data import Predictions, TableDataset, builtin_names
from perceiver_pytorch.data.loading import BatchReader
from perceiver_pytorch.models import inputs
from perceiver_pytorch.models.blended import BlendedPerceiver
from perceiver_pytorch.models.inputs import ModalityReader
from perceiver_pytorch.nn.cross_attend import CrossAttend
from perceiver_pytorch.nn.layer import PerceiverLayer
from perceiver_pytorch.tables import Run, fit, predictor
from perceiver_pytorch.tables.rows import ChosenRows
from perceiver_pytorch.training.run import loop
from perceiver_pytorch.training.run.averaging import AveragedWeights
from perceiver_pytorch.training.run.callbacks import FiniteScores, History, Stopper
from perceiver_pytorch.training.run.checkpoints import Checkpoints
from perceiver_pytorch.training.run.loop import Resumable
from perceiver_pytorch.training.run.optimizers import Lamb
from perceiver_pytorch.training.run.time_limit import TimeLimit
from perceiver_pytorch.training.table import evaluation, module

PARTS: Functions = {
    "decoding": ((TableDataset, "prepare"), (TableDataset, "samples"), (ChosenRows, "load")),
    "batches": ((BatchReader, "__getitem__"),),
    "augmentation": ((module, "augmented"), (module, "mixed"), (module, "thinned"), (module, "thinned_tokens")),
    "stems": ((inputs, "read_by_stem"),),
    "contexts": ((ModalityReader, "tokens"), (ModalityReader, "contexts")),
    "kernels": ((CrossAttend, "forward"),),
    "latent blocks": ((PerceiverLayer, "forward"),),
    "heads": ((BlendedPerceiver, "parts"),),
    "losses": ((module.TableModule, "_losses"),),
    "optimiser": (
        (torch.nn.utils, "clip_grad_norm_"),
        (torch.optim.AdamW, "step"),
        (torch.optim.AdamW, "zero_grad"),
        (Lamb, "step"),
        (AveragedWeights, "on_train_batch_end"),
    ),
    "logging": ((Resumable, "learned"), (TensorBoardLogger, "log_metrics"), (History, "on_train_epoch_end")),
    "checks": (
        (loop, "gradients_finite"),
        (Resumable, "configure_gradient_clipping"),
        (Stopper, "on_train_batch_start"),
        (TimeLimit, "on_train_batch_start"),
        (TimeLimit, "on_train_batch_end"),
        (FiniteScores, "on_validation_end"),
        (evaluation, "_check_finite"),
    ),
    "validation": ((_EvaluationLoop, "run"),),
    "checkpoints": ((Checkpoints, "save"),),
    "scores": (
        (Predictions, "metrics"),
        (Predictions, "intervals"),
        (Predictions, "columns"),
        (Predictions, "calibrated"),
        (evaluation, "trust"),
        (predictor, "predictions_table"),
    ),
    "else": (
        (torch.Tensor, "backward"),
        (torch.autograd, "grad"),
        (evaluation, "predict_without"),
        (evaluation, "answers"),
        (Closure, "__call__"),
        (pl.Trainer, "fit"),
        (Run, "predict"),
        (Run, "evaluate"),
    ),
}
"""The functions whose time is that of a part; ``else`` is what Lightning, Python and commands do besides. Rows that
other processes decode count for nothing: the clock alone says how long they were waited for."""
WHOLE = ("validation", "decoding")
"""Parts that have the time of all that they call."""
BESIDES = ("label", "target", "answer")
"""What a column to predict is called in tables that nothing is known of."""


@dataclass(frozen=True)
class Found:
    """What was measured.

    Attributes:
        rows: how many.
        seconds: by the clock.
        processor: of processor time, of all threads of this process.
        parts: the same, by the names of `PARTS`.
    """

    rows: int
    seconds: float
    processor: float
    parts: dict[str, float]

    def line(self, name: str) -> str:
        """A row of the printed table."""
        total = max(sum(self.parts.values()), 1e-9)
        shares = " | ".join(f"{seconds / total:.1%}" for seconds in self.parts.values())
        return f"| {name} | {self.rows / self.seconds:.0f} | {self.rows / self.processor:.0f} | {shares} |"


@dataclass(frozen=True)
class Case:
    """A table, its target (None: that of a built-in set), and options of ``fit``."""

    name: str
    table: str
    target: str | None
    options: dict[str, Any]


def measured(case: Case, steps: int) -> Iterator[tuple[str, Found]]:
    """What was found of ``fit``, ``predict`` and ``evaluate``, one after another."""
    with tempfile.TemporaryDirectory() as where:
        whole, rows = pl.Trainer.fit, 0
        learned, found = Resumable.learned, list[Found]()

        def counted(self: Any, loss: torch.Tensor, count: int = 1) -> None:
            nonlocal rows
            rows += count
            learned(self, loss, count)

        def trained(*arguments: Any, **options: Any) -> None:
            found.append(_timed(lambda: whole(*arguments, **options), lambda _: rows))

        with patch.object(Resumable, "learned", counted), patch.object(pl.Trainer, "fit", trained):
            options = {"steps": steps, "verbose": False, **case.options}
            run = fit(case.table, case.target, run=Path(where) / "run", **options)
        yield "fit", found[0]
        run.load()
        split = "test" if _has_test_rows(run) else "all"
        yield "predict", _timed(lambda: run.predict(case.table, split=split), len)
        yield "evaluate", _timed(lambda: run.evaluate(case.table, split=split), _num_measured)


def _has_test_rows(run: Run) -> bool:
    return bool(run.metrics["split"] == "test")


def _num_measured(metrics: dict[str, Any]) -> int:
    """Rows of the combination of all modalities."""
    return int(metrics["combinations"][0]["rows"])


def _timed(call: Callable[[], Any], rows: Callable[[Any], int]) -> Found:
    clock = Clock(PARTS, WHOLE)
    with clock.running():
        began, processor = time.perf_counter(), time.process_time()
        with clock.part("else"):
            result = call()
        seconds, processor = time.perf_counter() - began, time.process_time() - processor
    return Found(rows(result), seconds, processor, clock.seconds)


def cases(given: argparse.Namespace, work: Path) -> Iterator[Case]:
    """What is to be measured.

    Raises:
        ValueError: for a file of which nobody says what to predict.
    """
    for text in [*given.tables, *(builtin_names() if given.built_in else ())]:
        table, _, target = text.rpartition(":") if ":" in text else (text, "", "")
        if not target and table not in builtin_names():
            raise ValueError(f"a table is a built-in set ({', '.join(builtin_names())}) or FILE:TARGET, got {text!r}")
        ignored = dict.fromkeys(given.ignore, "ignore") if target else {}  # a built-in set tells nothing
        yield Case(Path(table).stem, table, target or None, {"columns": ignored} if ignored else {})
    if given.folder is not None:
        yield from _of_folder(given.folder, work)


def _of_folder(folder: Path, work: Path) -> Iterator[Case]:
    """The sets of a folder that something is known of, and other tables called ``manifest.csv``."""
    known: set[Path] = set()
    for name, data in SETS.items():
        source = folder / "series" / f"{name}.npz" if data.make else folder / data.table
        if not data.built_in and source.is_file():
            known.add(source)
            options = {"columns": dict.fromkeys(data.leaks, "ignore")} if data.leaks else {}
            yield Case(name, str(data.path(folder, work)), data.target, options)
    for table in sorted(folder.rglob("manifest.csv")):
        with table.open(encoding="utf-8") as lines:
            columns = next(lines, "").strip().split(",")
        target = next((name for name in BESIDES if name in columns), None)
        if table not in known and target is not None:
            yield Case(table.parent.name, str(table), target, {})


def _named(parser: argparse.ArgumentParser, given: argparse.Namespace, work: Path) -> list[Case]:
    """The cases, or the sentence that says what is wrong with one, and exit code 2."""
    try:
        return list(cases(given, work))
    except ValueError as error:
        parser.exit(2, f"{error}\n")


def main() -> None:
    """Measures the tables that are named, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", metavar="TABLE[:TARGET]", help="a built-in set, or a file and its target")
    parser.add_argument("--built-in", action="store_true", help="all built-in sets")
    parser.add_argument("--folder", type=Path, metavar="FOLDER", help="the sets of a folder")
    parser.add_argument("--ignore", nargs="*", default=[], metavar="COLUMN", help="columns that tell the target")
    parser.add_argument("--steps", type=int, default=200)
    given = parser.parse_args()
    if not (given.tables or given.built_in or given.folder):
        parser.error("name a table, or say --built-in or --folder FOLDER")
    if given.folder is not None and not given.folder.is_dir():
        parser.error(f"--folder {given.folder}: there is no such folder")
    on = describe(torch.get_num_threads())
    with tempfile.TemporaryDirectory() as work:
        found = _named(parser, given, Path(work))
        print(f"{on['processor']}, {on['instructions']}, {on['threads']} threads; {given.steps} steps\n")
        print(f"| table | rows per second | of a core | {' | '.join(PARTS)} |")
        print("|---" * (len(PARTS) + 3) + "|")
        for case in found:
            for what, measurement in measured(case, given.steps):
                print(measurement.line(f"{case.name}: {what}"), flush=True)


if __name__ == "__main__":
    main()
