"""How much training stands behind a model."""

from collections.abc import Mapping
from typing import Any

FEW_STEPS = 20
"""Steps in which hardly a model learns anything."""


def hardly_trained(metrics: Mapping[str, Any]) -> list[str]:
    """The sentence that comes before all else where a model was hardly trained; nothing where it was.

    Args:
        metrics: of a run (``metrics.json``); those of early versions do not tell.
    """
    trained = metrics.get("trained")
    if trained is None or (trained["passes"] >= 1 and trained["steps"] >= FEW_STEPS):
        return []
    steps = f"{trained['steps']:,} step{'s' * (trained['steps'] != 1)}"
    share = f", {trained['passes']:.0%} of an epoch" if trained["passes"] < 1 else ""
    return [f"This model is hardly trained: {steps}{share}. Its scores say little about what it could learn."]
