"""Durations as users write them."""

import math
import re
import time
from dataclasses import dataclass, field, replace

now = time.monotonic
"""The clock of time limits."""


def seconds(text: str, name: str = "--time-limit") -> float:
    """Seconds of ``90``, ``90s``, ``5m`` or ``1h30m``.

    Raises:
        ValueError: for any other text, or nothing; the message speaks of ``name``.
        TypeError: for what is no text.
    """
    if not isinstance(text, str):
        raise TypeError(f"{name} must be text such as '90s', '5m' or '1h30m', got {text!r}")
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip())
    total = (
        sum(float(part or 0) * unit for part, unit in zip(match.groups(), (3600, 60, 1), strict=True)) if match else 0
    )
    if total <= 0:
        raise ValueError(f"{name} must be a duration such as 90s, 5m or 1h30m, got {text!r}")
    return total


def written(duration: float) -> str:
    """So many seconds as `seconds` reads them: ``45s``, ``5m``, ``1h30m``."""
    if not float(duration).is_integer():
        return f"{duration:g}s"
    hours, minutes, rest = int(duration) // 3600, int(duration) % 3600 // 60, int(duration) % 60
    return "".join(f"{count}{name}" for count, name in ((hours, "h"), (minutes, "m"), (rest, "s")) if count)


def generous(duration: float) -> float:
    """So many seconds, rounded up to a duration that people would give."""
    unit = next((unit for most, unit in ((60, 10), (600, 60), (3600, 300)) if duration <= most), 1800)
    return max(unit, math.ceil(duration / unit) * unit)


@dataclass(frozen=True)
class Deadline:
    """The end of a time limit.

    Attributes:
        limit: seconds.
        began: when it began, by `now`.
    """

    limit: float
    began: float = field(default_factory=lambda: now())

    def left(self) -> float:
        """Seconds until then; negative once it has passed."""
        return self.began + self.limit - now()

    def earlier(self, seconds: float) -> "Deadline":
        """So many seconds before."""
        return replace(self, limit=self.limit - seconds)


@dataclass(frozen=True)
class Every:
    """How often something is due: after so many seconds or so many steps; never where both are None."""

    seconds: float | None = None
    steps: int | None = None

    @classmethod
    def of(cls, text: str, name: str = "checkpoint_every") -> "Every":
        """Reads ``5m``, ``200 steps`` or ``never``.

        Raises:
            ValueError: for anything else.
        """
        if text.strip().lower() == "never":
            return cls()
        match = re.fullmatch(r"(\d+) ?steps?", text.strip())
        if match and int(match[1]) > 0:
            return cls(steps=int(match[1]))
        try:
            return cls(seconds=seconds(text, name))
        except ValueError:
            raise ValueError(f"{name} must be like 5m, 200 steps or never, got {text!r}") from None

    def due(self, seconds: float, steps: int) -> bool:
        """Whether it is time, so many seconds and steps after the last."""
        return (self.seconds is not None and seconds >= self.seconds) or (
            self.steps is not None and steps >= self.steps
        )
