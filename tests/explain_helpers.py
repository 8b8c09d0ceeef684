"""A table with a column of every kind, and an untrained model that reads all of it."""

import datetime

import numpy as np
import torch

from data_helpers import fitted, png, table_of, video, wav
from perceiver_pytorch._settings import read_settings
from perceiver_pytorch.data import TableDataset
from perceiver_pytorch.training.table.build import build_model, with_heads
from perceiver_pytorch.training.table.explained import subject_of
from perceiver_pytorch.training.table.settings import FitConfig
from training_helpers import TINY

ROWS = 12
KINDS = {"cloud": "points", "clip": "video", "bytes": "text", "tags": "set"}


def columns(rows=ROWS):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (8, 6 + 2 * (i % 2), 3), dtype=np.uint8) for i in range(rows)]
    return {
        "picture": [png(pixels) if i != 3 else None for i, pixels in enumerate(pictures)],
        "sound": [wav(rng.normal(0, 0.1, 800 + 80 * i)) for i in range(rows)],
        "note": [f"the {['red', 'green'][i % 2]} house number {i} stands here" for i in range(rows)],
        "bytes": ["acgt" * (3 + i) for i in range(rows)],
        "curve": [rng.normal(size=(20 + i, 2)).tolist() for i in range(rows)],
        "cloud": [rng.normal(size=(30, 3)).tolist() for _ in range(rows)],
        "tags": [[["a", "b", "c"][j] for j in range(1 + i % 3)] for i in range(rows)],
        "clip": [video([np.full((16, 16, 3), 20 * i, np.uint8)] * 4, 4) for i in range(rows)],
        "day": [datetime.datetime(2020, 1, 1 + i) for i in range(rows)],
        "size": [float(x) if i % 4 else None for i, x in enumerate(rng.normal(size=rows))],
        "place": [["here", "there"][i % 2] for i in range(rows)],
        "label": [["no", "yes"][i % 2] for i in range(rows)],
        "amount": rng.normal(size=rows).tolist(),
    }


def rich(folder, target="label", left_out=(), **options):
    """(subject, data set) of a model with random weights that stand still."""
    given = {name: cells for name, cells in columns().items() if name not in left_out}
    table = table_of(folder, **given)
    kinds = {name: kind for name, kind in KINDS.items() if name in given and name not in target}
    spec, _ = fitted(table, target, kinds=kinds, **options)
    torch.manual_seed(0)
    model = with_heads(build_model(spec, read_settings(FitConfig, {"model": {**TINY, "depth": 2}}).model), spec)
    for module in model.modules():
        if hasattr(module, "known"):  # a stem's norm: as after the first train batch
            module.known.fill_(True)
    return subject_of(model, spec), TableDataset(table, np.arange(ROWS), spec, workers=0)
