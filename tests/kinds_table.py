"""A small table with every kind of column."""

import datetime
from pathlib import Path

import numpy as np

from data_helpers import fitted, png, shades, table_of, video, wav
from perceiver_pytorch.data import SpecOptions, TableDataset

KINDS = {"picture": "image", "sound": "audio", "film": "video+audio", "cloud": "points", "note": "text"}


def film(frames, sound):
    return video(shades(frames, 16, 16), 10, sound=sound)


def kinds_dataset(folder: Path) -> TableDataset:
    """A data set of a table that has a column or two of every kind, some of its cells empty.

    Args:
        folder: for its files.
    """
    rng = np.random.default_rng(0)
    count = 12
    tone = 0.1 * rng.normal(size=4000)
    series = [rng.normal(size=(4 + i % 3, 2)).cumsum(0) for i in range(count)]
    columns = {
        "picture": [png(rng.integers(0, 255, (9, 7 + i % 3), dtype=np.uint8)) for i in range(count)],
        "sound": [wav(0.1 * rng.normal(size=300 + 50 * i)) for i in range(count)],
        "film": [film(4 + i % 3, tone[: 2000 + 400 * i] if i % 4 else None) for i in range(count)],
        "walk": [array.tolist() for array in series],
        "seconds": [np.sort(rng.random(len(array))).tolist() for array in series],
        "curve": [rng.normal(size=3 + i).tolist() for i in range(count)],
        "cloud": [rng.normal(size=(5 + i, 3)).tolist() for i in range(count)],
        "day": [datetime.date(2020, 1 + i, 3) for i in range(count)],
        "note": [f"remark {i} of this row" for i in range(count)],
        "size": rng.normal(size=count).tolist(),
        "open": [bool(i % 2) for i in range(count)],
        "y": ["a", "b"] * 6,
    }
    for i, name in enumerate(name for name in columns if name not in ("y", "seconds", "walk")):
        columns[name][-1 - i % 4] = None
    options = SpecOptions(clock=True, column_options={"curve": {"clock": False}, "walk": {"series_time": "seconds"}})
    table = table_of(folder, **columns)
    spec, _ = fitted(table, "y", kinds=KINDS, options=options)
    return TableDataset(table, np.arange(count), spec)
