"""Release 1.4.0 itself, installed into a folder of its own and imported beside ours, to be compared with."""

import importlib
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace

VERSION = "1.4.0"
FOLDER = Path(__file__).parent.parent / ".peers" / f"release-{VERSION}"
PACKAGE = "perceiver_pytorch"


@cache
def release() -> SimpleNamespace:
    """Its modules, by name (``release().multi_modality_perceiver``)."""
    if not (FOLDER / PACKAGE).is_dir():
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(FOLDER)]
        subprocess.run([*install, f"perceiver-multi-modality-pytorch=={VERSION}"], check=True)
    ours = {name: module for name, module in sys.modules.items() if name.split(".")[0] == PACKAGE}
    for name in ours:
        del sys.modules[name]
    sys.path.insert(0, str(FOLDER))
    try:
        names = [
            "perceiver_pytorch",
            "caching",
            "common",
            "modalities",
            "multi_modality_perceiver",
            "multi_modality_with_text_perceiver",
            "hierarchical_multi_modality_perceiver",
        ]
        return SimpleNamespace(**{name: importlib.import_module(f"{PACKAGE}.{name}") for name in names})
    finally:
        # Its modules keep working: they hold one another by reference, and ours get their name back.
        sys.path.remove(str(FOLDER))
        for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
            del sys.modules[name]
        sys.modules.update(ours)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings that torch gives about the release's code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
