"""Small files and tables for the data tests. (Not in conftest.py: tests elsewhere have modules of that name.)"""

import io
import wave
from pathlib import Path

import numpy as np

from perceiver_pytorch.data import InputSpec, Table, load_table, recognise_columns, split_rows


def png(pixels, mode=None, **save):
    from PIL import Image

    buffer = io.BytesIO()
    image = Image.fromarray(np.asarray(pixels))
    (image.convert(mode) if mode else image).save(buffer, format="PNG", **save)
    return buffer.getvalue()


def wav(samples, rate=8000, channels=1):
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.round(np.asarray(samples) * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def write_table(folder: Path, text: str, name: str = "table.csv") -> Table:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return load_table(path)


def table_of(folder: Path, **columns) -> Table:
    import pyarrow

    return Table("made here", folder, pyarrow.table(columns))


def fitted(table: Table, target: str, **options):
    """(spec, splits) of a table, everything recognised."""
    kinds = recognise_columns(table, target=target, split=None)
    splits = split_rows(table, target=target, split=None, val_fraction=0.25, seed=0)
    return InputSpec.fit(table, kinds, target=target, rows=splits.train, **options), splits
