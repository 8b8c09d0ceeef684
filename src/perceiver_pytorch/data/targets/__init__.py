"""The kinds of targets, one file each, listed here once.

A package of somebody else's adds one with an entry point in the group ``perceiver.targets`` (docs/extending/target.md).
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from perceiver_pytorch._plugins import plugins
from perceiver_pytorch.data.targets.base import Baseline, Target
from perceiver_pytorch.data.targets.classes import ClassTarget
from perceiver_pytorch.data.targets.labels import LabelsTarget
from perceiver_pytorch.data.targets.number import NumberTarget
from perceiver_pytorch.data.targets.report_parts import Answer, Drawing, Section

__all__ = [
    "Answer",
    "Baseline",
    "ClassTarget",
    "Drawing",
    "LabelsTarget",
    "NumberTarget",
    "Section",
    "Target",
    "target_types",
]

BUILT_IN: tuple[type[Target], ...] = (NumberTarget, LabelsTarget, ClassTarget)
"""In the order in which they are asked whether a column is theirs."""


@cache
def target_types() -> Mapping[str, type[Target]]:
    """{kind: its class}, in the order in which they are asked; those of other packages come first.

    Raises:
        ImportError: if a package's target cannot be loaded.
        TypeError: if it is no subclass of `Target`.
        ValueError: if two have the same kind.
    """
    found: dict[str, type[Target]] = {}
    for target in [*map(_checked, plugins("perceiver.targets")), *BUILT_IN]:
        if target.kind in found:
            raise ValueError(
                f"two targets have the kind {target.kind!r}: {found[target.kind].__module__} and {target.__module__}; "
                "rename one, or uninstall its package"
            )
        found[target.kind] = target
    return found


def _checked(target: Any) -> type[Target]:
    if not (isinstance(target, type) and issubclass(target, Target) and isinstance(getattr(target, "kind", None), str)):
        raise TypeError(f"an entry point of perceiver.targets must be a subclass of Target with a kind, got {target!r}")
    return target
