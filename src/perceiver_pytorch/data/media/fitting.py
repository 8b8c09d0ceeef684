"""The size to which a picture or frame is made to fit into its box."""

from collections.abc import Callable
from dataclasses import dataclass

Fit = Callable[[int, int], tuple[int, int]]
"""From an image's height and width to those that are wanted."""


@dataclass(frozen=True)
class Box:
    """A `Fit` into a box of so many pixels, for a filling of `"pad"` or `"stretch"`."""

    height: int
    width: int
    filling: str

    def __call__(self, height: int, width: int) -> tuple[int, int]:
        return fitted(height, width, self.height, self.width, self.filling)


def fitted(height: int, width: int, box_height: int, box_width: int, fit: str) -> tuple[int, int]:
    """The size at which an image fills a box as far as its proportions allow, or all of it."""
    if fit == "stretch":
        return box_height, box_width
    scale = min(box_height / height, box_width / width)
    return min(box_height, max(1, round(height * scale))), min(box_width, max(1, round(width * scale)))
