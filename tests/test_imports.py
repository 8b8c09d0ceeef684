"""Imports point down only, and using the models costs no more than they need."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(importlib.util.find_spec("perceiver_pytorch").origin).parent
LAYERS = ("ops", "nn", "models", "training", "tables", "cli")
BESIDE = {
    "data": ("data",),
    "report": ("data", "report"),
    "interop": ("ops", "nn", "models", "interop"),
}
SHARED = {
    f"perceiver_pytorch.{name}" for name in ("_checks", "_deprecated", "_files", "_lazy", "_plugins", "_settings")
}


def part(module: str) -> str:
    """The part of the package that a module belongs to; modules beside the packages are the models."""
    names = module.split(".")
    return names[1] if len(names) > 1 and names[1] in (*LAYERS, *BESIDE) else "models"


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        names = ["perceiver_pytorch", *path.relative_to(SOURCE).with_suffix("").parts]
        found[".".join(names[:-1] if names[-1] == "__init__" else names)] = path
    return found


def imported(path: Path, module: str) -> set[str]:
    """Modules of the package that a file imports, wherever in it; imports for type checkers aside."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = module if path.name == "__init__.py" else module.rpartition(".")[0]
            source = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            names |= {f"{source}.{a.name}" if f"{source}.{a.name}" in modules() else source for a in node.names}
    return {name for name in names if name.split(".")[0] == "perceiver_pytorch"} - SHARED


@pytest.mark.parametrize("module", modules())
def test_imports_point_down(module: str) -> None:
    own = part(module)
    allowed = BESIDE.get(own) or LAYERS[: LAYERS.index(own) + 1]
    if own in ("training", "tables", "cli"):
        allowed = (*allowed, *BESIDE)
    others = {name: part(name) for name in imported(modules()[module], module)}
    assert {name: layer for name, layer in others.items() if layer not in allowed} == {}


@pytest.mark.parametrize("module", sorted(SHARED))
def test_what_every_layer_uses_imports_nothing_of_ours(module: str) -> None:
    assert imported(modules()[module], module) == set()


HEAVY = {
    *("lightning", "pytorch_lightning", "torchmetrics", "tensorboard", "typer", "rich"),
    *("pyarrow", "datasets", "PIL", "soundfile", "soxr", "matplotlib", "sklearn"),
}


def modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_the_models_import_the_core_dependencies_alone() -> None:
    loaded = modules_after("import perceiver_pytorch, perceiver_pytorch.nn.cache")
    assert {name for name in loaded if name.split(".")[0] in HEAVY} == set()
    assert {name for name in loaded if name.startswith("perceiver_pytorch.") and part(name) not in LAYERS[:3]} == set()


def test_reading_data_does_not_import_what_trains() -> None:
    loaded = modules_after("import perceiver_pytorch.data")
    assert loaded & {"lightning", "pytorch_lightning", "torchmetrics", "typer"} == set()
