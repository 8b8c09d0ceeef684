"""Video columns: frames at one rate, fitted into a box and cut into patches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..cells import Where, media_source
from ..options import SpecOptions
from .base import Encoded, Spec, check_positive, clock_grid, clock_note, clock_resolution
from .image import box, box_changes, check_box, fitted, patch_for, patches
from .video_file import VideoFacts, read_video


@dataclass(frozen=True)
class VideoSpec(Spec):
    """One column of videos as at most `(num_frames, height / patch, width / patch)` tokens.

    Attributes:
        name: the modality's and the column's name.
        rate: frames per second that are taken.
        num_frames: longer videos lose their end.
        height, width: of the box in pixels.
        patch: side of a token, in pixels.
        filling: `"pad"` or `"stretch"`, as for images.
        clock: seconds of the time axis shared with other modalities; 0: its own.
    """

    name: str
    rate: float
    num_frames: int
    height: int
    width: int
    patch: int
    filling: str = "pad"
    clock: float = 0.0

    kind: ClassVar[str] = "video"
    dtype: ClassVar[str] = "uint8"

    def __post_init__(self) -> None:
        check_positive(self, "rate", "num_frames", "height", "width", "patch")
        check_box(3, self.filling)

    @classmethod
    def fit(cls, name: str, samples: Iterable[VideoFacts], options: SpecOptions) -> VideoSpec:
        """Learn size, length and patch from the headers (at least one)."""
        facts = list(samples)
        height, width = box([(fact.height, fact.width) for fact in facts], options.video_size, options.max_video_size)
        seconds = min(max(fact.seconds for fact in facts), options.max_video_seconds)
        num_frames = max(1, math.ceil(seconds * options.video_rate - 1e-6))
        patch = options.video_patch or patch_for(height, width, max(1, options.max_video_tokens // num_frames))
        return cls(name, options.video_rate, num_frames, height, width, patch, options.image_fit)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def axes(self) -> tuple[int, ...]:
        return (self.num_frames, -(-self.height // self.patch), -(-self.width // self.patch))

    @property
    def channels(self) -> int:
        return self.patch * self.patch * 3

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.axes, self.channels)

    @property
    def seconds(self) -> float:
        """Of the longest video."""
        return self.num_frames / self.rate

    @property
    def resolution(self) -> float:
        return clock_resolution(self, 1 / self.rate)

    def grid(self, axis: int) -> np.ndarray | None:
        return clock_grid(self, 1 / self.rate) if axis == 0 else None

    def encode(self, row: Mapping[str, Any], where: Where) -> Encoded | None:
        """uint8 (frames, rows, columns, patch * patch * 3), by row, column, colour; zeros fill the last patches."""
        source = media_source(row[self.name], self.name, where)
        if source is None:
            return None
        try:
            clip = read_video(
                source, self.rate, self.num_frames, lambda h, w: fitted(h, w, self.height, self.width, self.filling)
            )
        except ValueError as error:
            raise where.error(self.name, str(error), row[self.name]) from error
        after = clip.frames.shape[1:3]
        changes = box_changes((clip.height, clip.width), after, (self.height, self.width), self.filling)
        return Encoded(patches(clip.frames, self.patch), changes=changes + (("cut",) if clip.longer else ()))

    def note(self) -> str:
        size = f"{self.height}x{self.width} RGB, {self.patch}x{self.patch} patches"
        return f"{self.num_frames} frames, {self.rate:g} a second, {size}{clock_note(self)}"
