"""Models in Python that a level names: ``package.module:function``, imported when a cell is trained, not before."""

import importlib
import importlib.util
import re
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def check_reference(where: str, given: Any) -> str:
    """``given``, if it names a function of a module that is there; nothing is imported but the packages around it.

    Raises:
        ValueError, TypeError: if it does not.
    """
    if not isinstance(given, str) or not _REFERENCE.fullmatch(given):
        raise TypeError(f"{where} must be package.module:function, got {given!r}")
    if _source(given) is None:
        module = given.partition(":")[0]
        raise ValueError(f"{where}: there is no module {module} to import; install it, or start where it lies")
    return given


def imported(reference: str) -> Callable[..., Any]:
    """The function that makes the model: ``function(spec, config)``, of an `InputSpec` and a `ModelConfig`.

    Raises:
        ImportError: if there is none.
    """
    module, _, name = reference.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except AttributeError:
        raise ImportError(f"{module} has no {name}") from None
    if not callable(function):
        raise ImportError(f"{reference} must be a function of spec and config, got {type(function).__name__}")
    return function


def source_digest(reference: str) -> str:
    """Of the module's file: other where somebody has changed it."""
    source = _source(reference)
    assert source is not None
    return blake2b(source.read_bytes(), digest_size=16).hexdigest()


def _source(reference: str) -> Path | None:
    try:
        found = importlib.util.find_spec(reference.partition(":")[0])
    except (ImportError, ValueError):
        return None
    return None if found is None or found.origin is None else Path(found.origin)
