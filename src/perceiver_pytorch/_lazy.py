"""What is imported on first use: the command answers ``--help`` without loading PyTorch or NumPy."""

import importlib
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any


def imported(name: str) -> ModuleType:
    """A module, for the ``__getattr__`` of another one.

    Raises:
        ImportError: if it cannot be imported; an `AttributeError` would be taken for one that is about the name asked
            for, and its cause would be lost.
    """
    try:
        return importlib.import_module(name)
    except AttributeError as error:
        raise ImportError(f"{name} cannot be imported: {error}", name=name) from error


class _Module:
    """A module that is imported when one of its names is asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        value = getattr(imported(self._name), name)
        setattr(self, name, value)
        return value


if TYPE_CHECKING:
    import numpy
    import torch
else:
    # For modules that say what the options are, or read data without PyTorch; annotations of theirs are quoted.
    numpy, torch = _Module("numpy"), _Module("torch")


def lazily(package: str, modules: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package (PEP 562).

    Args:
        package: its ``__name__``.
        modules: {module below the package: the public names that it defines, separated by spaces}.
    """
    place = {name: f"{package}.{module}" for module, names in modules.items() for name in names.split()}
    namespace = vars(sys.modules[package])

    def get(name: str) -> Any:
        if name not in place:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        namespace[name] = getattr(imported(place[name]), name)
        return namespace[name]

    return get, lambda: sorted({*namespace, *place})
