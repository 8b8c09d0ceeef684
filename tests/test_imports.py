"""Imports point down only, and using the models costs no more than they need."""

import ast
import importlib.util
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(importlib.util.find_spec("perceiver_pytorch").origin).parent
CORE = ("ops", "nn", "models")
LAYERS = {
    "ops": (),
    "nn": ("ops",),
    "models": ("ops", "nn"),
    "interop": CORE,
    "parallel": CORE,
    "data": (),
    "report": ("data",),
    "explain": (*CORE, "data"),
    "training": (*CORE, "interop", "data", "report", "explain"),
    "tables": (*CORE, "interop", "data", "report", "explain", "training"),
    "experiments": (*CORE, "data", "report", "training"),
    "tuning": (*CORE, "data", "report", "training"),
    "runtime": ("data", "explain", "training", "tables"),
    "export": (*CORE, "interop", "data", "training", "tables", "runtime"),
    "serve": ("data", "explain", "training", "tables", "runtime"),
    "cli": (
        *(*CORE, "interop", "data", "report", "explain", "training", "tables", "experiments", "serve"),
        *("runtime", "export", "tuning"),
    ),
}
"""What each layer may import besides itself: section 5 of DESIGN.md."""
SHARED = {
    f"perceiver_pytorch.{name}"
    for name in (
        *("_checks", "_deprecated", "_execution", "_files", "_lazy", "_memory"),
        *("_plugins", "_processes", "_saved_files", "_settings", "_waiting"),
    )
}


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        names = ["perceiver_pytorch", *path.relative_to(SOURCE).with_suffix("").parts]
        found[".".join(names[:-1] if names[-1] == "__init__" else names)] = path
    return found


MODULES = modules()


def layer_of(module: str) -> str:
    """The layer of a module; modules beside the packages re-export the models."""
    names = module.split(".")
    if names[-1] == "__main__":
        return "cli"
    return names[1] if MODULES[module].parent != SOURCE else "models"


@cache
def imported(module: str, *, to_check_types: bool = False) -> frozenset[str]:
    """Modules of the package that a module imports, wherever in it.

    Args:
        to_check_types: imports under ``if TYPE_CHECKING`` count as well.
    """
    tree = ast.parse(MODULES[module].read_text())
    if not to_check_types:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                node.body = []
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
            source = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            names |= {f"{source}.{a.name}" if f"{source}.{a.name}" in MODULES else source for a in node.names}
    return frozenset(name for name in names if name.split(".")[0] == "perceiver_pytorch") - SHARED


def test_the_layers_are_the_packages_there_are() -> None:
    assert LAYERS.keys() == {path.parent.name for path in SOURCE.glob("*/__init__.py")}


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    own = layer_of(module)
    others = {name: layer_of(name) for name in imported(module, to_check_types=True)}
    assert {name: layer for name, layer in others.items() if layer not in (own, *LAYERS[own])} == {}


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Imports for type checkers and those within functions count: a circle is one whenever it closes."""
    order = TopologicalSorter({module: imported(module, to_check_types=True) for module in MODULES})
    try:
        order.prepare()
    except CycleError as error:
        pytest.fail("circle of imports: " + " imports ".join(reversed(error.args[1])))


TRAINING = "perceiver_pytorch.training"
ROOMS = {
    "run": (),
    "language": ("run", "rows", "gathering", "bfloat16"),
    "table": ("run", "rows", "gathering", "bfloat16", "start"),
    "start": ("run", "table"),
}
"""What each room of the training layer may import besides itself."""


@pytest.mark.parametrize("room", ROOMS)
def test_tasks_do_not_know_one_another(room: str) -> None:
    allowed = tuple(f"{TRAINING}.{name}" for name in (room, *ROOMS[room]))
    for module in (name for name in MODULES if name.startswith(f"{TRAINING}.{room}.")):
        others = {name for name in imported(module, to_check_types=True) if name.startswith(TRAINING)}
        assert {name for name in others if not name.startswith(allowed)} == set(), module


def test_what_every_run_shares_knows_neither_data_nor_models() -> None:
    for module in (name for name in MODULES if name.startswith(f"{TRAINING}.run.")):
        others = imported(module, to_check_types=True)
        assert {name for name in others if not name.startswith(f"{TRAINING}.run.")} == set(), module


def test_of_the_data_layer_language_models_use_the_error_alone() -> None:
    for module in (name for name in MODULES if name.startswith(f"{TRAINING}.language.")):
        others = {name for name in imported(module, to_check_types=True) if layer_of(name) == "data"}
        assert others <= {"perceiver_pytorch.data.errors"}, module


@pytest.mark.parametrize("module", sorted(SHARED))
def test_what_every_layer_uses_imports_nothing_of_ours(module: str) -> None:
    assert imported(module) == set()


HEAVY = {
    *("lightning", "pytorch_lightning", "torchmetrics", "tensorboard", "typer", "rich"),
    *("pyarrow", "datasets", "PIL", "soundfile", "soxr", "matplotlib", "sklearn", "sqlalchemy"),
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
    assert {name for name in loaded if name in MODULES and layer_of(name) not in CORE} == set()


def test_reading_data_does_not_import_what_trains() -> None:
    loaded = modules_after("import perceiver_pytorch.data")
    assert loaded & {"lightning", "pytorch_lightning", "torchmetrics", "typer"} == set()


def test_reading_a_run_does_not_import_what_trains() -> None:
    rooms = ("table.run", "table.datasets", "language.run", "language.objectives", "run.history")
    loaded = modules_after("import " + ", ".join(f"{TRAINING}.{name}" for name in rooms))
    assert loaded & {"lightning", "pytorch_lightning", "torchmetrics", "tensorboard"} == set()


def test_the_folder_of_a_run_needs_no_torch() -> None:
    names = ("folder", "history", "lock", "reporter", "durations", "interrupts", "settings")
    loaded = modules_after("import " + ", ".join(f"{TRAINING}.run.{name}" for name in names))
    assert loaded & {"torch", "numpy", "lightning"} == set()


def test_predicting_imports_neither_what_trains_nor_what_measures() -> None:
    loaded = modules_after("import perceiver_pytorch.training.table.evaluation, perceiver_pytorch.report.page")
    heavy = {"lightning", "pytorch_lightning", "torchmetrics", "tensorboard", "matplotlib", "jinja2", "pyarrow"}
    assert loaded & heavy == set()


WITHOUT_TORCH = """
import sys

for name in %r:
    sys.modules[name] = None
"""


def test_tables_are_read_and_predictions_written_without_torch() -> None:
    refused = ("torch", "jaxtyping", "safetensors", "huggingface_hub", "lightning", "torchmetrics", "yaml")
    modules_after(
        WITHOUT_TORCH % (refused,)
        + """
from perceiver_pytorch.data import InputSpec, NumbersSpec, NumberTarget, Table, TableDataset, load_table
from perceiver_pytorch.data.kinds import kinds
from perceiver_pytorch.data.prediction_columns import prediction_columns
from perceiver_pytorch.data.stacking import stack
from perceiver_pytorch.data.targets import target_types
from perceiver_pytorch.runtime import Bundle, open_predictor
from perceiver_pytorch.tables import Predictor
kinds(), target_types()
"""
    )
