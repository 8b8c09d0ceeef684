"""The data sets: where their tables are, what is predicted, and what their columns hold."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.tables import TABLES
from benchmarks.tables import load_table as load_plain
from perceiver_pytorch.data import load_table

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class DataSet:
    """A table with a column ``split``.

    Attributes:
        table: path below the folder of data sets, or the name of a built-in set.
        target: the column to predict.
        measure: score of the test rows: accuracy, auc or r2.
        kinds: {column: number, category, text, image, audio, video or series}, for the baselines; empty: by dtype. The
            product finds out by itself; it is told only what to leave out.
        leaks: columns that say the target, or name the row.
        make: writes the table where it is not there as a file; None: it is.
    """

    table: str
    target: str
    measure: str
    kinds: Mapping[str, str]
    leaks: tuple[str, ...] = ()
    make: Callable[[Path, Path], None] | None = field(default=None, compare=False)

    @property
    def built_in(self) -> bool:
        """Whether the package brings the set."""
        return "." not in self.table

    def path(self, folder: Path, work: Path) -> Path:
        """The table's file; it is made in ``work`` where it has to be. Of a built-in set its name."""
        if self.built_in:
            return Path(self.table)
        if self.make is None:
            return folder / self.table
        place = work / "tables" / self.table
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            self.make(folder, place)
        return place


def series(name: str) -> DataSet:
    """A set of the UEA archive, from a file of arrays (series, time, channels) that are padded to one length."""

    def make(folder: Path, place: Path) -> None:
        arrays = np.load(folder / "series" / f"{name}.npz", allow_pickle=False)
        parts = []
        for part in ("train", "test"):
            values, lengths = arrays[f"x_{part}"], arrays[f"len_{part}"]
            cells = [v[: int(n)].tolist() for v, n in zip(values, lengths, strict=True)]
            parts.append(pd.DataFrame({"series": cells, "label": arrays[f"y_{part}"].astype(str), "split": part}))
        pd.concat(parts, ignore_index=True).to_parquet(place)

    return DataSet(f"{name}.parquet", "label", "accuracy", {"series": "series"}, make=make)


def plain(name: str) -> DataSet:
    """A table of `benchmarks.tables`: the first ten predict a class."""

    def make(folder: Path, place: Path) -> None:
        load_plain(name).to_csv(place, index=False)

    is_class = list(TABLES).index(name) < 10
    return DataSet(f"{name}.csv", TABLES[name].target, "accuracy" if is_class else "r2", {}, make=make)


GRID = ("id", "text", "command", "color", "preposition", "letter", "digit", "adverb", "frames", "peak")
WORDS = ("command", "color", "preposition", "letter", "digit", "adverb")
SETS: dict[str, DataSet] = {
    "digits": DataSet("digits", "answer", "accuracy", {"image": "image", "audio": "audio", "question": "text"}),
    "easy-vqa": DataSet("easy-vqa", "answer", "accuracy", {"image": "image", "question": "text"}),
    "av_digits": DataSet(
        "av_digits/manifest.csv",
        "label",
        "accuracy",
        {"image": "image", "audio": "audio"},
        ("id", "text", "speaker"),
    ),
    "grid_mini": DataSet(
        "grid_mini/manifest.csv",
        "label",
        "accuracy",
        {"video": "video"},
        (*GRID, *(f"{word}_{end}" for word in WORDS for end in ("start", "end"))),
    ),
    "trec": DataSet("text/trec/manifest.csv", "label", "accuracy", {"text": "text"}, ("id", "label_name")),
    "sms_spam": DataSet("text/sms_spam/manifest.csv", "label", "accuracy", {"text": "text"}, ("id", "label_name")),
    "movies": DataSet(
        "movies/manifest.csv",
        "label",
        "auc",
        {
            **dict.fromkeys(("title", "people", "genres"), "text"),
            **dict.fromkeys(("year", "runtime", "n_reviews", "box_office", "oscars"), "number"),
            **dict.fromkeys(("language", "country"), "category"),
        },
        ("id", "tomatometer", "fresh"),
    ),
    "baby_prices": DataSet(
        "baby_prices/manifest.csv",
        "price",
        "r2",
        {
            **dict.fromkeys(("title", "company_free", "colors", "materials", "fabrics"), "text"),
            **dict.fromkeys(("is_discounted", "category", "company_struct", "weight", "length", "width"), "category"),
            "height": "category",
        },
    ),
    "BasicMotions": series("BasicMotions"),
    "JapaneseVowels": series("JapaneseVowels"),
    **{name: plain(name) for name in TABLES},
}


def rows_of(data: DataSet, path: Path) -> pd.DataFrame:
    """The table of a set; files in its cells are bytes, or paths below the table's folder."""
    if data.built_in:
        table = load_table(data.table)
        return pd.DataFrame([table.row(i) for i in range(len(table))])
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, low_memory=False)


def kinds_of(data: DataSet, rows: pd.DataFrame) -> dict[str, str]:
    """Kinds of the columns to learn from."""
    inputs = [name for name in rows.columns if name not in (data.target, "split", *data.leaks)]
    by_type = {name: "number" if pd.api.types.is_numeric_dtype(rows[name]) else "category" for name in inputs}
    return dict(data.kinds) or by_type


def opened(cell: str | bytes, root: Path) -> BytesIO | Path:
    """A cell's file, to read."""
    return BytesIO(cell) if isinstance(cell, bytes) else root / cell
