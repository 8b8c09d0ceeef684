"""Old import paths: each name is handed out with a warning that says where it lives now."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from perceiver_pytorch._lazy import imported


def old_path(module: str, successors: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Module-level ``__getattr__`` and ``__dir__`` for the old module, and a warning that it is old.

    Args:
        module: its ``__name__``.
        successors: per public name, ``"module:name"`` where it lives now.
    """
    homes = sorted({home.partition(":")[0] for home in successors.values()})
    # Level 3: past this function and the old module, at whoever imports it.
    warnings.warn(f"{module} is an old path; its names live in {', '.join(homes)}", DeprecationWarning, stacklevel=3)

    def get(name: str) -> Any:
        if name not in successors:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, _, attribute = successors[name].partition(":")
        warnings.warn(f"{module}.{name} is now {home}.{attribute}", DeprecationWarning, stacklevel=2)
        return getattr(imported(home), attribute)

    return get, lambda: sorted(successors)
