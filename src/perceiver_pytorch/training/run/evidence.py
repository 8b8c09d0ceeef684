"""How much training stands behind a model."""

from collections.abc import Mapping
from typing import Any

FEW_STEPS, MANY_STEPS = 20, 1_000
"""Steps in which hardly a model learns anything, and in which one learns, however many rows there are."""


def hardly_trained(metrics: Mapping[str, Any]) -> list[str]:
    """The sentence that comes before all else where a model was hardly trained; nothing where it was.

    Args:
        metrics: of a run (``metrics.json``); those of early versions do not tell.
    """
    trained = metrics.get("trained")
    if trained is None or (trained["steps"] >= (FEW_STEPS if trained["passes"] >= 1 else MANY_STEPS)):
        return []
    steps = f"{trained['steps']:,} step{'s' * (trained['steps'] != 1)}"
    share = f", {trained['passes']:.0%} of an epoch" if trained["passes"] < 1 else ""
    return [f"This model is hardly trained: {steps}{share}. Its scores say little about what it could learn."]
