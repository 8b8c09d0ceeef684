"""The history of a run: a CSV file with a row per round."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from perceiver_pytorch._files import read_text, write_text
from perceiver_pytorch._saved_files import DamagedFileError, fitting, found


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
    """Makes these the rows of a history file; without rows there is no file.

    Raises:
        DamagedFileError: if the first row has a column that the last one has not.
    """
    if not rows:
        path.unlink(missing_ok=True)
        return
    names, text = list(rows[-1]), io.StringIO()
    if other := [name for name in rows[0] if name not in names]:
        raise DamagedFileError(f"{path} must have no columns but {', '.join(names)}, and has {', '.join(other)}")
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in rows)
    write_text(path, text.getvalue())
