"""How long does one row take? ``python -m benchmarks.one_row RUN ...``

For each run folder: milliseconds of `Run.predict` for one row of its table, with the model loaded, by part; and seconds
of ``perceiver predict`` for that row, from the start of the process to its end. The least of many calls is printed
first, since another process only ever makes a call slower.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial, wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from benchmarks import machine
from perceiver_pytorch.data import load_table
from perceiver_pytorch.tables import Run
from perceiver_pytorch.tables.predictor import Predictor
from perceiver_pytorch.training.table import evaluation

PARTS = {"reading and decoding": (Predictor, "_rows"), "the model": (evaluation, "answers")}
"""What the time of a call goes to; the rest is Python around them."""


def first_rows(table: str, count: int) -> list[dict[str, Any]]:
    """The first rows of a table, as dicts."""
    source = load_table(table)
    columns = [(name, source.column(name)[:count]) for name in source.column_names]
    return [{name: cells[i] for name, cells in columns} for i in range(count)]


def measured(call: Callable[[], object], repeats: int) -> tuple[list[float], dict[str, list[float]]]:
    """Seconds of each call, and those of its `PARTS`."""
    found: dict[str, list[float]] = {name: [] for name in PARTS}
    totals = []
    with ExitStack() as stack:
        for name, (owner, function) in PARTS.items():
            stack.enter_context(patch.object(owner, function, _timed(getattr(owner, function), found[name])))
        for _ in range(repeats):
            began = time.perf_counter()
            call()
            totals.append(time.perf_counter() - began)
    return totals, found


def _timed(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    @wraps(function)
    def timed(*arguments: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            seconds.append(time.perf_counter() - began)

    return timed


def command_seconds(run: Path, row: dict[str, Any], repeats: int) -> list[float]:
    """Seconds of ``perceiver predict`` in a process of its own, for a Parquet file of one row."""
    import pyarrow
    from pyarrow import parquet

    code = "from perceiver_pytorch.cli import main; main()"
    with tempfile.TemporaryDirectory() as folder:
        table, output = Path(folder) / "row.parquet", Path(folder) / "predictions.csv"
        parquet.write_table(pyarrow.Table.from_pylist([row]), table)
        seconds = []
        for _ in range(repeats):
            began = time.perf_counter()
            words = [sys.executable, "-c", code, "predict", str(run), str(table), "-o", str(output)]
            subprocess.run(words, check=True, capture_output=True)
            seconds.append(time.perf_counter() - began)
    return seconds


def told(seconds: Sequence[float], unit: float = 1e3) -> str:
    """The least and the median."""
    return f"{min(seconds) * unit:.1f} ({statistics.median(seconds) * unit:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders of perceiver fit")
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--starts", type=int, default=3, help="of the command")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    facts = machine.describe(options.threads)
    print(f"{facts['processor']}, {options.threads} threads, PyTorch {torch.__version__}; least (median)\n")
    print(f"| table | one row, ms | {' | '.join(PARTS)} | command, s |\n|---|---|{'---|' * len(PARTS)}---|")
    for path in options.runs:
        run = Run.open(path)
        rows = first_rows(run.data.table, 1)
        for _ in range(5):
            run.predict(rows)
        totals, parts = measured(partial(run.predict, rows), options.repeats)
        cells = [told(totals), *map(told, parts.values()), told(command_seconds(path, rows[0], options.starts), 1)]
        print(f"| {Path(run.data.table).name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
