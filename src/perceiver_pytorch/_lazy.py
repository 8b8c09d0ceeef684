"""Packages whose public names are imported on first use: the command answers ``--help`` without loading PyTorch."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


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
        namespace[name] = getattr(importlib.import_module(place[name]), name)
        return namespace[name]

    return get, lambda: sorted({*namespace, *place})
