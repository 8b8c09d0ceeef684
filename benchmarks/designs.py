"""Which design of the model learns tables best? ``python -m benchmarks.designs FOLDER``

Trains every candidate on some of the data sets of docs/results.md, with several seeds, and compares scores of the
validation rows after the last epoch, so that no choice of an epoch takes part. All candidates of a set run for the same
epochs; processor time is printed beside the scores.
"""

import argparse
import csv
import dataclasses
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from perceiver_pytorch import Style
from perceiver_pytorch.models import style as styles
from perceiver_pytorch.tables import fit
from perceiver_pytorch.training.run.history import read_history

CANDIDATES = {
    "paper": Style.of("paper"),
    "paper, 4 times as wide": Style.of("paper", widening_factor=4),
    "paper, 4 times as wide, GEGLU": Style.of("paper", widening_factor=4, activation="geglu"),
    "release": Style.of("release"),
}


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A table and how it is trained on.

    Args:
        table: path below the folder of data sets, or a built-in set.
        every: of a file, only every so manieth row is taken.
        score: the column of history.csv; higher is better.
        options: of `fit`.
    """

    table: str
    every: int
    score: str
    options: dict[str, Any]


SETS = {
    "digits": DataSet("digits", 1, "val_accuracy", {"epochs": 2}),
    "films": DataSet(
        "movies/manifest.csv",
        8,
        "val_accuracy",
        {"target": "label", "epochs": 4, "columns": {"id": "ignore", "tomatometer": "ignore", "fresh": "ignore"}},
    ),
    "questions": DataSet(
        "text/trec/manifest.csv",
        1,
        "val_accuracy",
        {"target": "label", "epochs": 5, "columns": {"id": "ignore", "label_name": "ignore"}},
    ),
    "prices": DataSet("baby_prices/manifest.csv", 3, "val_r2", {"target": "price", "epochs": 6}),
}


def part_of(table: Path, every: int, place: Path) -> Path:
    """A copy of a CSV file with only some of its rows."""
    with table.open(newline="", encoding="utf-8") as file:
        header, *lines = csv.reader(file)
    with (place / "table.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *lines[::every]])
    return place / "table.csv"


def measured(folder: Path, name: str, candidate: str, seed: int) -> dict[str, Any]:
    """Score of the last epoch, and seconds of processor time."""
    data = SETS[name]
    options = {"style": "paper", "widening_factor": None, "choose_by": "plain", "seed": seed, "verbose": False}
    options |= data.options
    with tempfile.TemporaryDirectory() as where, patch.dict(styles._PRESETS, {"paper": CANDIDATES[candidate]}):
        place = Path(where)
        table = part_of(folder / data.table, data.every, place) if data.table.endswith(".csv") else data.table
        begun = time.process_time()
        run = fit(table, run=place / "run", **options)
        seconds = time.process_time() - begun
        last = read_history(run.folder.history_file)[-1]
    return {"set": name, "candidate": candidate, "seed": seed, "score": last[data.score], "seconds": seconds}


def rows(results: list[dict[str, Any]]) -> Iterator[str]:
    """A Markdown table: a candidate a row, mean and deviation over the seeds, and time next to that of the first."""
    sets = list(dict.fromkeys(result["set"] for result in results))
    yield f"| design | {' | '.join(sets)} | processor time |"
    yield "|---" * (len(sets) + 2) + "|"
    spent = {c: sum(r["seconds"] for r in results if r["candidate"] == c) for c in CANDIDATES}
    for candidate in CANDIDATES:
        cells = [_cell([r["score"] for r in results if (r["set"], r["candidate"]) == (s, candidate)]) for s in sets]
        time_spent = spent[candidate] / spent["paper"] if spent["paper"] else 0.0
        yield f"| {candidate} | {' | '.join(cells)} | {time_spent:.2f} |"


def _cell(scores: list[float]) -> str:
    if len(scores) < 2:
        return f"{scores[0]:.3f}" if scores else "–"
    return f"{statistics.mean(scores):.3f} ± {statistics.stdev(scores):.3f}"


def main() -> None:
    """Runs what is asked for; what a file of results already has is not run again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the data sets")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--results", type=Path, help="JSON lines: read if there, and written on")
    given = parser.parse_args()
    file = given.results
    results = [json.loads(line) for line in file.read_text().splitlines()] if file and file.exists() else []
    done = {(r["set"], r["candidate"], r["seed"]) for r in results}
    for seed in range(given.seeds):  # all of a seed first, so that a run that is cut short is a fair one
        for name in given.sets:
            for candidate in CANDIDATES:
                if (name, candidate, seed) in done:
                    continue
                results.append(measured(given.folder, name, candidate, seed))
                print(results[-1], flush=True)
                if file:
                    with file.open("a") as lines:
                        print(json.dumps(results[-1]), file=lines)
    print("\n".join(rows(results)))


if __name__ == "__main__":
    main()
