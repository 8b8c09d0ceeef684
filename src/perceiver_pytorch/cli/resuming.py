"""What may be said anew about a run that goes on."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from perceiver_pytorch.training.table.settings import FitConfig

_HARMLESS = ("data.table", "training.num_workers", "training.checkpoint_every")
_HARMLESS_UNLESS_SKIPPING = ("data.cache_mb", "data.allow_outside")  # they say which rows are found to be bad, and when
_OPTIONS = {
    "data.table": "the place of the table",
    "training.num_workers": "--workers",
    "training.checkpoint_every": "--checkpoint-every",
    "data.cache_mb": "--set data.cache_mb",
    "data.allow_outside": "--allow-outside",
}


def check_harmless(configured: FitConfig, asked: FitConfig, run: object) -> None:
    """Raise a `ValueError` if ``asked`` differs from ``configured`` in a setting that the weights depend on."""
    free = _HARMLESS + (() if configured.data.on_error == "skip" else _HARMLESS_UNLESS_SKIPPING)
    before = dict(_settings(configured))
    wrong = [
        f"{path}={value!r} (it has {before[path]!r})"
        for path, value in _settings(asked)
        if value != before[path] and path not in free
    ]
    if wrong:
        raise ValueError(
            f"--resume goes on with {run} as it was configured; leave out {', '.join(wrong)}: "
            f"the model would be another. What can change: {', '.join(_OPTIONS[path] for path in free)}, --time-limit"
        )


def _settings(config: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting with its dotted path."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from _settings(value, f"{place}{field.name}.")
        else:
            yield f"{place}{field.name}", value
