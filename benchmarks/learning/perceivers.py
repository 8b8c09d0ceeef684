"""Other Perceivers on two multi-modal sets: the same rows, a plain loop, the same minutes.

They have neither masks nor files: pictures are given as pixels, sounds as log-mel energies that silence fills up to the
longest one, texts as bytes. Sizes are those of this package's preset ``tiny``.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from benchmarks.cases import Case, Modality
from benchmarks.contestants import contestant
from benchmarks.learning.sets import DataSet, opened, rows_of
from benchmarks.peers import ROOT, import_folders, install

PERCEIVERS = ("release-1.4.0", "perceiver-pytorch-0.11.0")
SIDE, BANDS, TEXT = 28, 32, 96
SIZES = {"depth": 2, "num_latents": 16, "latent_dim": 64, "cross_heads": 4, "cross_dim_head": 16, "latent_heads": 4}
TAUGHT = {"num_latent_blocks_per_layer": 2, "latent_dim_head": 16, "weight_tie_layers": False}
BATCH, RATE, CHECKS = 32, 1e-3, 10
"""Rows of a step, AdamW's peak rate (the best of 3e-4, 1e-3 and 3e-3 for the release), and validations of a run."""


def perceiver(name: str, data: DataSet, table: Path, seed: int, limit: float) -> dict[str, Any]:
    """Trains a peer in a process that imports it; its accuracy of the test rows."""
    if (reason := install(name)) is not None:
        return {"error": reason}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "rows.npz"
        np.savez(place, **arrays(data, table))
        job = {"name": name, "rows": str(place), "seed": seed, "seconds": limit}
        command = [sys.executable, "-m", __name__, json.dumps(job)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def arrays(data: DataSet, table: Path) -> dict[str, np.ndarray]:
    """Every modality of all rows as one array, with the classes and the splits."""
    rows = rows_of(data, table)
    found = {name: _READ[kind](rows[name], table.parent) for name, kind in data.kinds.items()}
    classes = np.unique(rows[data.target].astype(str), return_inverse=True)[1]
    return {**found, "target": classes, "split": rows["split"].to_numpy(str)}


def _pictures(cells: pd.Series, root: Path) -> np.ndarray:
    from PIL import Image

    found = [Image.open(opened(cell, root)).convert("RGB").resize((SIDE, SIDE)) for cell in cells]
    return np.stack([np.asarray(each, np.float32) / 127.5 - 1 for each in found])


def _sounds(cells: pd.Series, root: Path) -> np.ndarray:
    import soundfile

    from perceiver_pytorch.data.media.mel import log_mel

    found = []
    for cell in cells:
        samples, rate = soundfile.read(opened(cell, root), dtype="float32", always_2d=True)
        energies = log_mel(samples.mean(1, keepdims=True), rate, BANDS, rate // 40, rate // 100)[:, 0]
        found.append((energies - energies.mean()) / (energies.std() + 1e-6))
    longest = max(map(len, found))
    return np.stack([np.pad(each, ((0, longest - len(each)), (0, 0))) for each in found]).astype(np.float32)


def _texts(cells: pd.Series, root: Path) -> np.ndarray:
    found = [str(cell).encode()[:TEXT] for cell in cells]
    return np.stack([np.frombuffer(each.ljust(TEXT, b"\0"), np.uint8) for each in found])[..., None].astype(np.int64)


_READ = {"image": _pictures, "audio": _sounds, "text": _texts}


def _case(inputs: dict[str, Tensor], classes: int) -> Case:
    """The peer's model of these inputs."""
    modalities = [
        Modality(name, value.shape[-1], tuple(value.shape[1:-1]), 6, float(max(value.shape[1:-1])))
        if value.is_floating_point()
        else Modality(name, 1, tuple(value.shape[1:-1]), 6, float(TEXT), vocabulary=256, width=64)
        for name, value in sorted(inputs.items())
    ]
    text = any(modality.vocabulary for modality in modalities)
    model = "MultiModalityWithTextPerceiver" if text else "MultiModalityPerceiver"
    return Case("a", "learning", model, tuple(modalities), {**SIZES, **TAUGHT, "num_classes": classes})


def train(job: dict[str, Any]) -> dict[str, Any]:
    """Trains for so many seconds with a cosine that ends with them, and keeps the weights of the best validation."""
    torch.manual_seed(job["seed"])
    with np.load(job["rows"], allow_pickle=False) as file:
        given = {name: file[name] for name in file.files}
    split, target = given.pop("split"), torch.from_numpy(given.pop("target"))
    inputs = {name: torch.from_numpy(value) for name, value in given.items()}
    model = contestant(job["name"]).build(_case(inputs, int(target.max()) + 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.05)
    rows = {name: torch.from_numpy(np.flatnonzero(split == name)) for name in ("train", "val", "test")}
    began, best, kept, due, steps = time.monotonic(), -1.0, dict[str, Tensor](), 1, 0
    while (share := (time.monotonic() - began) / job["seconds"]) < 1:
        optimizer.param_groups[0]["lr"] = RATE * (0.01 + 0.495 * (1 + np.cos(np.pi * share)))
        chosen = rows["train"][torch.randint(len(rows["train"]), (BATCH,))]
        logits = model({name: value[chosen] for name, value in inputs.items()})
        nn.functional.cross_entropy(logits, target[chosen], label_smoothing=0.05).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        steps += 1
        if share >= due / CHECKS - 0.02:
            due += 1
            if (found := _accuracy(model, inputs, target, rows["val"])) > best:
                best, kept = found, {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(kept)
    return {"score": _accuracy(model, inputs, target, rows["test"]), "validation": best, "steps": steps}


@torch.no_grad()
def _accuracy(model: nn.Module, inputs: dict[str, Tensor], target: Tensor, rows: Tensor) -> float:
    model.eval()
    right = 0
    for chosen in rows.split(128):
        logits = model({name: value[chosen] for name, value in inputs.items()})
        right += int((logits.argmax(-1) == target[chosen]).sum())
    model.train()
    return right / len(rows)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    sys.path[:0] = import_folders(contestant(given["name"]).PEER)
    print(json.dumps(train(given)))
