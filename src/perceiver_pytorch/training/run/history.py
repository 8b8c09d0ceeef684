"""The history of a run: a CSV file with a row per round."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from perceiver_pytorch._files import read_text, write_text
from perceiver_pytorch._saved_files import fitting, found


def read_history(path: Path) -> list[dict[str, float]]:
    """Rows of a history file; none if there is no file.

    Raises:
        DamagedFileError: if it holds something else.
    """
    if not path.exists():
        return []
    with found(path), fitting(path, "a table of numbers"):
        rows = [
            {key: float(value) for key, value in row.items()} for row in csv.DictReader(read_text(path).splitlines())
        ]
        if any("epoch" not in row for row in rows):
            raise ValueError("it must have a column epoch")
        return rows


def round_of(row: Mapping[str, float]) -> float:
    """Number of a row's round. Where rounds are passes over the train rows, they are called epochs."""
    return row.get("round", row["epoch"])


def write_history(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """Makes these the rows of a history file; without rows there is no file."""
    if not rows:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[-1]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in rows)
    write_text(path, text.getvalue())
