"""A tiny table and an experiment on it, whose cells train in a second or two."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from perceiver_pytorch.experiments.progress import Record
from perceiver_pytorch.experiments.reading import parse_experiment
from perceiver_pytorch.experiments.spec import Experiment
from perceiver_pytorch.experiments.store import DONE

TEXT = """
question: Does it help?
base:
  model: {num_latents: 2, latent_dim: 8, num_latent_blocks_per_layer: 1, latent_heads: 1, cross_heads: 1}
  training: {steps: 2, batch_size: 4, head_weight: 0}
factors:
  - name: text
    levels:
      - name: whole
      - {name: split, set: {model.split_embedding: true}}
  - {name: depth, option: model.depth, levels: [1, 2]}
sets:
  - {name: words, table: table.csv, target: label, ignore: [number]}
seeds: 2
metrics: [{name: score, margin: 0.05}, loss]
quick: {factors: {depth: [2]}, seeds: 1}
"""


def experiment(text: str = TEXT, *, quick: bool = False) -> Experiment:
    return parse_experiment(text, "tiny", quick=quick)


def write_table(folder: Path, rows: int = 40) -> Path:
    rng = np.random.default_rng(0)
    path = folder / "table.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["words", "number", "label", "split"])
        for i in range(rows):
            good = int(rng.integers(2))
            words = f"this is remark {rng.integers(9999)} and it is {'good' if good else 'bad'} indeed"
            writer.writerow([words, i, ["no", "yes"][good], ["train", "train", "val", "test"][i % 4]])
    return path


def record(set: str, level: str, seed: int, score: float, **changes: Any) -> Record:
    """A cell that is done, of the factor "text"."""
    result = {"metrics": {"score": score, "loss": 1 - score}, "history": [{"epoch": 1.0, "val_loss": 1 - score}]}
    values: dict[str, Any] = {"levels": {"text": level, "depth": "1"}, "key": f"{set}-{level}-{seed}", "state": DONE}
    values |= {"owner": None, "took": 2.0, "result": result, "error": None}
    return Record(set=set, seed=seed, **{**values, **changes})
