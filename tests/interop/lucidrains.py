"""perceiver-pytorch 0.11.0 itself, installed into a folder of its own and imported beside ours."""

import importlib
from functools import cache
from pathlib import Path
from types import SimpleNamespace

from release import another_package, install

FOLDER = Path(__file__).parents[2] / ".peers" / "perceiver-pytorch-0.11.0"


@cache
def lucidrains() -> SimpleNamespace:
    """Its classes `Perceiver`, `PerceiverIO` and `PerceiverLM`."""
    install("perceiver-pytorch==0.11.0", FOLDER)
    with another_package(FOLDER):
        single = importlib.import_module("perceiver_pytorch.perceiver_pytorch")
        io = importlib.import_module("perceiver_pytorch.perceiver_io")
    return SimpleNamespace(Perceiver=single.Perceiver, PerceiverIO=io.PerceiverIO, PerceiverLM=io.PerceiverLM)
