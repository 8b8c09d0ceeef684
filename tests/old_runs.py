"""Runs of an earlier version, and how to compare what this version makes of them."""

import csv
import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from llvmlite.binding import get_host_cpu_name
from safetensors.torch import load_file

from perceiver_pytorch.ops.backends import simd

TIMES = {"seconds", "train_seconds", "data_wait_share"}
ADDED = {
    "balanced_accuracy",
    "blend",
    "calibration",
    "coverage",
    "intervals",
    "losses",
    "trained",
    "trust",
    "unusual",
    "verdict",
    "versions",
    "warnings",
    "worth",
}  # of later versions


def processor():
    """What the last bits of a result depend on."""
    return {
        "name": get_host_cpu_name(),  # MKL and oneDNN go other ways on Intel's processors than on AMD's
        "capability": torch.backends.cpu.get_cpu_capability(),
        "bfloat16_products": bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()),
        "loop_width": simd.WIDTH,
        "torch": torch.__version__,
    }


class Comparison:
    """Equal bytes on the kind of processor that made the runs; elsewhere equal but for rounding.

    A step of AdamW magnifies rounding where a gradient is next to nothing, so weights of a resumed run differ more.
    """

    def __init__(self, folder):
        self.exact = json.loads((folder / "processor.json").read_text()) == processor()

    def files(self, new, old, tolerance=1e-4, *, rounded=False):
        """JSON or CSV files; ``rounded`` where they are computed in another way by now."""
        if self.exact and not rounded:
            assert new.read_bytes() == old.read_bytes()
        else:
            read = json.loads if new.suffix == ".json" else lambda text: list(csv.reader(text.splitlines()))
            close(read(new.read_text()), read(old.read_text()), tolerance)

    def values(self, new, old, tolerance=1e-4):
        """JSON values, without what tells of times, and what old runs did not tell."""
        if self.exact:
            assert comparable(new) == comparable(old)
        else:
            close(comparable(new), comparable(old), tolerance)

    def weights(self, new, old, *, tied=False):
        """Files of weights. Where some are tied, safetensors writes the entries of the header's metadata in a random
        order, so that the tensors are compared alone.
        """
        if self.exact and not tied:
            assert new.read_bytes() == old.read_bytes()
        weights, expected = load_file(new), load_file(old)
        assert weights.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(weights[name], value, atol=0 if self.exact else 0.02, rtol=0)


def close(new, old, tolerance):
    """Numbers, also in texts, within the tolerance; all else the same."""
    if isinstance(old, dict):
        assert new.keys() == old.keys()
        for name in old:
            close(new[name], old[name], tolerance)
    elif isinstance(old, list):
        assert len(new) == len(old)
        for pair in zip(new, old, strict=True):
            close(*pair, tolerance)
    elif is_number(old):
        assert float(new) == pytest.approx(float(old), abs=tolerance, rel=tolerance, nan_ok=True)
    else:
        assert new == old


def is_number(value):
    try:
        return not isinstance(value, bool) and not math.isinf(float(value))
    except (TypeError, ValueError):
        return False


def comparable(values):
    if isinstance(values, list):
        return [comparable(value) for value in values]
    added = ADDED | ({"rows"} if "complete_rows" in values else set())  # of a combination of modalities
    compared = {name: value for name, value in values.items() if name not in TIMES | added}
    return compared | {name: comparable(compared[name]) for name in ("combinations",) if name in compared}


def copied(folder: Path, to: Path) -> Path:
    """A copy to work in; what is committed stays as it is."""
    return Path(shutil.copytree(folder, to))
