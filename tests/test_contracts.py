"""Contracts kept as text: public names, state-dict keys, options of the command; what a run writes, in its own tests.

A change of one is a decision, seen in the diff. After such a decision write them anew with

    PERCEIVER_WRITE_CONTRACTS=1 python -m pytest tests
"""

import importlib
import inspect
import json
import os
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from small_models import CLASSES, blended, build, multi_task, perceiver_io
from test_old_paths import import_quietly

FOLDER = Path(__file__).parent / "contracts"
PUBLIC = (
    "perceiver_pytorch",
    "perceiver_pytorch.modalities",
    "perceiver_pytorch.perceiver",
    "perceiver_pytorch.multi_modality_perceiver",
    "perceiver_pytorch.multi_modality_with_text_perceiver",
    "perceiver_pytorch.hierarchical_multi_modality_perceiver",
    "perceiver_pytorch.outputs",
    "perceiver_pytorch.perceiver_io",
    "perceiver_pytorch.style",
    "perceiver_pytorch.nn",
    "perceiver_pytorch.nn.cache",
    "perceiver_pytorch.ops",
    "perceiver_pytorch.interop",
    "perceiver_pytorch.data",
    "perceiver_pytorch.data.kinds.base",
    "perceiver_pytorch.data.sources.base",
    "perceiver_pytorch.tables",
    "perceiver_pytorch.serve",
)
OLD = ("perceiver_pytorch.perceiver_pytorch", "perceiver_pytorch.common", "perceiver_pytorch.caching")


def compare(name: str, text: str) -> None:
    file = FOLDER / name
    if os.environ.get("PERCEIVER_WRITE_CONTRACTS") == "1":
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text(), f"{file} differs; see the docstring of {__name__} if the change is meant"


def key_paths(value: object, path: str = "") -> set[str]:
    """The keys of nested mappings, "a.b"; the entries of a list count as one, "a[].b"."""
    if isinstance(value, dict):
        return set().union(*(key_paths(inner, f"{path}.{key}".lstrip(".")) for key, inner in value.items()), {path})
    if isinstance(value, list):
        return set().union(*(key_paths(inner, f"{path}[]") for inner in value), {path})
    return {path}


def what_a_run_tells(run: Any) -> str:
    """The keys of metrics.json and config.yaml, the columns of history.csv and the headings of the report."""
    import yaml

    metrics = json.loads((run.path / "metrics.json").read_text())
    config = yaml.safe_load((run.path / "config.yaml").read_text())
    columns = (run.path / "history.csv").read_text().splitlines()[0].split(",")
    told = {"metrics.json": key_paths(metrics), "config.yaml": key_paths(config), "history.csv": columns}
    lines = []
    for file, keys in told.items():
        lines += [file, *(f"    {key}" for key in sorted(keys) if key)]
    if (report := run.path / "report.html").is_file():
        parts = re.findall(r"<(h[1-3]|th|summary)\b[^>]*>(.*?)</\1>", report.read_text(), re.DOTALL)
        lines += ["report.html", *(f"    {tag} {' '.join(re.sub('<[^>]*>', '', text).split())}" for tag, text in parts)]
    return "\n".join(lines) + "\n"


def public_names(module: str) -> list[str]:
    """What a module exports: its ``__all__``, else the classes and functions it defines without an underscore."""
    loaded = importlib.import_module(module)
    if hasattr(loaded, "__all__"):
        return sorted(loaded.__all__)
    return sorted(
        name
        for name, value in vars(loaded).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module
    )


def signature(value: object) -> str:
    """Arguments with their defaults; without annotations, which say the same in more ways than one."""
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return ""
    plain = str(inspect.Signature([p.replace(annotation=inspect.Parameter.empty) for p in parameters]))
    return "()" if plain == "(*args, **kwargs)" else plain  # a module without a constructor has torch's


def test_public_names_and_their_arguments() -> None:
    lines = []
    for module in PUBLIC:
        lines.append(module)
        for name in public_names(module):
            lines.append(f"    {name}{signature(getattr(importlib.import_module(module), name))}")
    compare("public_names.txt", "\n".join(lines) + "\n")


def test_names_at_old_paths() -> None:
    lines = [line for path in OLD for line in (path, *[f"    {name}" for name in dir(import_quietly(path))])]
    compare("old_names.txt", "\n".join(lines) + "\n")


@pytest.mark.parametrize("name", [*CLASSES, "PerceiverIO", "MultiTaskPerceiver", "BlendedPerceiver"])
def test_keys_and_shapes_of_the_weights(name: str) -> None:
    others = {"PerceiverIO": perceiver_io, "MultiTaskPerceiver": multi_task, "BlendedPerceiver": blended}
    model = others.get(name, partial(build, name))()
    lines = [f"{key} {tuple(value.shape)}" for key, value in model.state_dict().items()]
    compare(f"state_dict_{name}.txt", "\n".join(lines) + "\n")


def test_commands_and_their_options() -> None:
    pytest.importorskip("typer")
    from perceiver_pytorch.cli.app import COMMANDS, loaded

    lines = []
    for name in COMMANDS:
        lines.append(name)
        for parameter in loaded(name).params:
            default = "" if parameter.default is None else f" = {parameter.default}"
            lines.append(f"    {' '.join(parameter.opts)}{default}")
    compare("options.txt", "\n".join(lines) + "\n")


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_exists_and_is_documented(module: str) -> None:
    loaded = importlib.import_module(module)
    assert loaded.__doc__
    for name in public_names(module):
        value = getattr(loaded, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert (value.__doc__ or "").strip(), name
