"""A small table with image, sound, text, numbers and categories, and a configuration that trains on it in seconds."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from perceiver_pytorch._settings import read_settings
from perceiver_pytorch.training.run.job import Outcome, run_job
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table.run import TableRun
from perceiver_pytorch.training.table.settings import FitConfig
from perceiver_pytorch.training.table.task import TableTask

SILENT = Reporter(say=lambda text: None, warn=lambda text: None)

TINY = {
    "num_latents": 4,
    "latent_dim": 16,
    "cross_dim_head": 8,
    "latent_heads": 2,
    "latent_dim_head": 8,
    "num_latent_blocks_per_layer": 1,
    "embedding_dim": 8,
    "ff_dropout": 0.1,
}

PASSES = {"validate_every": 0, "choose_from": 0}
"""A round is a pass over the rows, and the best of them is chosen however few rows there are."""


def write_mixed_table(folder: Path, rows: int = 48, name: str = "mixed.csv") -> Path:
    """The picture's brightness decides; some cells of every modality are empty."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for i in range(rows):
        bright = int(rng.integers(2))
        Image.fromarray(rng.integers(0, 60, (6, 6), dtype=np.uint8) + np.uint8(180 * bright)).save(folder / f"{i}.png")
        soundfile.write(folder / f"{i}.wav", rng.normal(0, 0.1, 160), 8000)
        lines.append(
            {
                "picture": f"{i}.png" if i % 7 or not i else "",
                "sound": f"{i}.wav" if i % 5 or not i else "",
                "note": f"remark number {int(rng.integers(10_000))} of this row" if i % 3 or not i else "",
                "size": f"{rng.normal():.3f}" if i % 4 or not i else "",
                "place": ["here", "there"][int(rng.integers(2))],
                "label": ["dark", "light"][bright],
                "split": ["train", "train", "train", "val", "test", "train"][i % 6],
            }
        )
    path = folder / name
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return path


def tiny_config(table: Path | str, target: str | list[str] = "label", **training: object) -> FitConfig:
    """Trains in seconds."""
    return read_settings(
        FitConfig,
        {
            "data": {"table": str(table), "target": target},
            "model": TINY,
            "training": {"epochs": 2, "batch_size": 8, "lr": 5e-3, **PASSES, **training},
        },
    )


def fit(config: FitConfig, run: TableRun, *, reporter: Reporter = SILENT, **options: Any) -> Outcome:
    """Runs a job on the table that the configuration names."""
    return run_job(TableTask(config), run, reporter=reporter, **options)


def write_targets_table(folder: Path, rows: int = 60, name: str = "targets.csv") -> Path:
    """Two numbers decide a class, labels and a number; some cells of every target are empty."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for i in range(rows):
        x, z = rng.normal(size=2)
        labels = [label for label, there in (("high", x > 0), ("wide", z > 0), ("odd", i % 4 < 2)) if there]
        lines.append(
            {
                "x": f"{x:.3f}" if i % 9 else "",
                "z": f"{z:.3f}",
                "side": "left" if x < 0 else "right",
                "tags": json.dumps(labels) if i % 5 else "",
                "weight": f"{1000 + 50 * x + 20 * z:.2f}" if i % 4 else "",
                "split": ["train", "train", "train", "val", "test", "train"][i % 6],
            }
        )
    path = folder / name
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return path
