"""Image columns: decoded, fitted into a box and cut into patches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from einops import rearrange

from ..cells import Where, media_source
from ..options import SpecOptions
from .base import Encoded, Spec, check_positive
from .image_file import read_image, to_array

PATCHES = (1, 2, 4, 8, 16)
_LOOK = 512  # pixels: images are looked at no larger than this


@dataclass(frozen=True)
class ImageSpec(Spec):
    """One image column as at most `(height / patch, width / patch)` tokens of `patch * patch * colors` values.

    Attributes:
        name: the modality's and the column's name.
        height, width: of the box in pixels.
        colors: 1 (grey) or 3 (RGB).
        patch: side of a token, in pixels.
        filling: `"pad"`: images are made as large as the box allows and lie in its upper left corner; `"stretch"`: they
            fill it, and their proportions give way.
    """

    name: str
    height: int
    width: int
    colors: int
    patch: int
    filling: str = "pad"

    kind: ClassVar[str] = "image"
    dtype: ClassVar[str] = "uint8"

    def __post_init__(self) -> None:
        check_positive(self, "height", "width", "patch")
        check_box(self.colors, self.filling)

    @classmethod
    def fit(cls, name: str, samples: Iterable[ImageFacts], options: SpecOptions) -> ImageSpec:
        """Learn size, colours and patch from looked-at images (at least one)."""
        facts = list(samples)
        height, width = box([(fact.height, fact.width) for fact in facts], options.image_size, options.max_image_size)
        patch = options.image_patch or patch_for(height, width, options.max_image_tokens)
        colors = 1 if all(fact.grey for fact in facts) else 3
        return cls(name, height, width, colors, patch, options.image_fit)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def axes(self) -> tuple[int, ...]:
        return (-(-self.height // self.patch), -(-self.width // self.patch))

    @property
    def channels(self) -> int:
        return self.patch * self.patch * self.colors

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.axes, self.channels)

    def encode(self, row: Mapping[str, Any], where: Where) -> Encoded | None:
        """uint8 (rows, columns, patch * patch * colors), by row, column, colour; zeros fill the last patches."""
        source = media_source(row[self.name], self.name, where)
        if source is None:
            return None
        try:
            picture = read_image(source, lambda h, w: fitted(h, w, self.height, self.width, self.filling))
        except ValueError as error:
            raise where.error(self.name, str(error), row[self.name]) from error
        pixels = to_array(picture.image, self.colors)
        changes = box_changes(
            (picture.height, picture.width), pixels.shape[:2], (self.height, self.width), self.filling
        )
        return Encoded(patches(pixels, self.patch), changes=changes)

    def note(self) -> str:
        colors = "grey" if self.colors == 1 else "RGB"
        tokens = "single pixels" if self.patch == 1 else f"{self.patch}x{self.patch} patches"
        filling = "fitted and padded" if self.filling == "pad" else "stretched"
        return f"{self.height}x{self.width} {colors}, {filling}, {tokens}"


@dataclass(frozen=True)
class ImageFacts:
    """What `ImageSpec.fit` needs to know of one image: its size in pixels and whether it has no colour."""

    height: int
    width: int
    grey: bool

    @classmethod
    def look(cls, source: bytes | Path) -> ImageFacts:
        """Decode an image file.

        Raises:
            ValueError: it cannot be decoded.
        """
        picture = read_image(source, lambda h, w: fitted(h, w, min(h, _LOOK), min(w, _LOOK), "pad"))
        pixels = to_array(picture.image, 3)
        grey = picture.image.mode == "L" or bool((pixels == pixels[..., :1]).all())
        return cls(picture.height, picture.width, grey)


def box(sizes: list[tuple[int, int]], longer: int | None, at_most: int) -> tuple[int, int]:
    """Height and width of the most common proportions, its longer side as given or as it is, up to a limit."""
    (height, width), _ = Counter(sizes).most_common(1)[0]
    scale = (longer or min(max(height, width), at_most)) / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def fitted(height: int, width: int, box_height: int, box_width: int, fit: str) -> tuple[int, int]:
    """The size at which an image fills a box as far as its proportions allow, or all of it."""
    if fit == "stretch":
        return box_height, box_width
    scale = min(box_height / height, box_width / width)
    return min(box_height, max(1, round(height * scale))), min(box_width, max(1, round(width * scale)))


def box_changes(before: tuple[int, int], after: tuple[int, ...], box: tuple[int, int], fit: str) -> tuple[str, ...]:
    """What was done to an image to make it fit, as `CHANGES` calls it."""
    changes = ["resized"] if before != after else []
    if after != box:
        changes.append("padded")
    if fit == "stretch" and fitted(*before, *box, "pad") != box:
        changes.append("stretched")
    return tuple(changes)


def patches(pixels: np.ndarray, patch: int) -> np.ndarray:
    """(..., height, width, colors) as (..., rows, columns, patch * patch * colors); zeros fill the last ones."""
    height, width = pixels.shape[-3:-1]
    missing = [(0, 0)] * (pixels.ndim - 3) + [(0, -height % patch), (0, -width % patch), (0, 0)]
    whole = np.pad(pixels, missing) if height % patch or width % patch else pixels
    return np.ascontiguousarray(rearrange(whole, "... (h p) (w q) c -> ... h w (p q c)", p=patch, q=patch))


def check_box(colors: int, fit: str) -> None:
    """Raise `ValueError` unless both are known."""
    if colors not in (1, 3):
        raise ValueError(f"colors was expected to be 1 or 3, got {colors}")
    if fit not in ("pad", "stretch"):
        raise ValueError(f"fit was expected to be pad or stretch, got {fit!r}")


def patch_for(height: int, width: int, max_tokens: int) -> int:
    """The smallest patch that keeps to `max_tokens`, or the largest there is."""
    fitting = (p for p in PATCHES if -(-height // p) * -(-width // p) <= max_tokens)
    return next(fitting, PATCHES[-1])
