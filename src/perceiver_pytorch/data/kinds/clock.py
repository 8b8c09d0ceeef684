"""Time axes that modalities of several kinds share: the one of a video and its sound, and the one asked for."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch._settings import Settings, knob
from perceiver_pytorch.data.kinds.base import ModalitySpec


@dataclass(frozen=True, kw_only=True)
class ClockSettings(Settings):
    """The time axis of every kind that has one."""

    clock: bool = knob(False, "sounds, videos and series with time stamps share one time axis in seconds")


class Timed(Protocol):
    """A modality whose first axis is time."""

    @property
    def clock(self) -> float:
        """Seconds of the time axis shared with other modalities; 0: its own."""

    @property
    def axes(self) -> tuple[int, ...]: ...


def on_clocks(modalities: Sequence[ModalitySpec], options: Any) -> list[ModalitySpec]:
    """A video and its sound share one time axis, and so do all modalities that are asked to: as long as the longest."""
    groups: dict[str, list[ModalitySpec]] = {}
    for modality in modalities:
        if modality.seconds:
            (column, *_) = modality.columns
            groups.setdefault("" if options.of(column).clock else column, []).append(modality)
    clocks = {
        modality.name: max(one.seconds for one in group)
        for shared, group in groups.items()
        for modality in group
        if len(group) > 1 or not shared
    }
    return [
        dataclasses.replace(modality, clock=clocks[modality.name]) if modality.name in clocks else modality  # type: ignore
        for modality in modalities
    ]


def clock_grid(spec: Timed, step: float) -> "np.ndarray | None":
    """Where tokens every `step` seconds are on the shared time axis, -1 at its start and 1 at its end."""
    if not spec.clock:
        return None
    return (2 * step / spec.clock * np.arange(spec.axes[0]) - 1).astype(np.float32)


def clock_resolution(spec: Timed, step: float) -> float:
    """Places to tell apart: tokens every `step` seconds of the shared time axis, and those of other axes."""
    return max(spec.clock / step, float(max(spec.axes)))


def clock_note(spec: Timed) -> str:
    """For `note`."""
    return f", on a clock of {spec.clock:.2f} s" if spec.clock else ""
