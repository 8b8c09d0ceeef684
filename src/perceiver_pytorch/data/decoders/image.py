"""Image columns: decoded, resized and cut into patches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from einops import rearrange

from ..cells import Where, media_bytes
from .base import Encoded, Spec, check_positive
from .image_file import read_image, resized, to_array

_PATCHES = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class ImageSpec(Spec):
    """One image column as `(height / patch, width / patch)` tokens of `patch * patch * colors` values.

    Attributes:
        name: the modality's and the column's name.
        height, width: the size every image is resized to (its proportions give way), in pixels, multiples of `patch`.
        colors: 1 (grey) or 3 (RGB).
        patch: side of a token, in pixels.
    """

    name: str
    height: int
    width: int
    colors: int
    patch: int

    kind: ClassVar[str] = "image"
    dtype: ClassVar[str] = "uint8"

    def __post_init__(self) -> None:
        check_positive(self, "height", "width", "patch")
        if self.colors not in (1, 3):
            raise ValueError(f"colors was expected to be 1 or 3, got {self.colors}")
        if self.height % self.patch or self.width % self.patch:
            raise ValueError(f"multiples of the patch {self.patch} were expected, got {self.height}x{self.width}")

    @classmethod
    def fit(
        cls,
        name: str,
        samples: Iterable[ImageFacts],
        *,
        image_size: int | None,
        max_image_size: int,
        image_patch: int | None,
        max_image_tokens: int,
    ) -> ImageSpec:
        """Learn size, colours and patch from looked-at images (at least one); `SpecOptions` describes the knobs."""
        facts = list(samples)
        (height, width), _ = Counter((fact.height, fact.width) for fact in facts).most_common(1)[0]
        longer = image_size if image_size is not None else min(max(height, width), max_image_size)
        scale = longer / max(height, width)
        height, width = max(1, round(height * scale)), max(1, round(width * scale))
        patch = image_patch or _patch_for(height, width, max_image_tokens)
        colors = 1 if all(fact.grey for fact in facts) else 3
        return cls(name, _ceil_to(height, patch), _ceil_to(width, patch), colors, patch)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def axes(self) -> tuple[int, ...]:
        return (self.height // self.patch, self.width // self.patch)

    @property
    def channels(self) -> int:
        return self.patch * self.patch * self.colors

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.axes, self.channels)

    def encode(self, row: Mapping[str, Any], where: Where) -> Encoded | None:
        """uint8 (height / patch, width / patch, patch * patch * colors), in a patch by row, column, colour."""
        data = media_bytes(row[self.name], self.name, where)
        if data is None:
            return None
        try:
            image = resized(read_image(data), self.height, self.width)
        except ValueError as error:
            raise where.error(self.name, str(error)) from error
        pixels = to_array(image, self.colors)
        p = self.patch
        return Encoded(np.ascontiguousarray(rearrange(pixels, "(h p) (w q) c -> h w (p q c)", p=p, q=p)))

    def note(self) -> str:
        colors = "grey" if self.colors == 1 else "RGB"
        patches = "single pixels" if self.patch == 1 else f"{self.patch}x{self.patch} patches"
        return f"{self.height}x{self.width} {colors}, {patches}"


@dataclass(frozen=True)
class ImageFacts:
    """What `ImageSpec.fit` needs to know of one image: its size in pixels and whether it has no colour."""

    height: int
    width: int
    grey: bool

    @classmethod
    def look(cls, data: bytes) -> ImageFacts:
        """Decode an image file.

        Raises:
            ValueError: it cannot be decoded.
        """
        image = read_image(data)
        pixels = to_array(image, 3)
        grey = image.mode == "L" or bool((pixels == pixels[..., :1]).all())
        return cls(image.height, image.width, grey)


def _patch_for(height: int, width: int, max_tokens: int) -> int:
    """The smallest patch that keeps to `max_tokens`, or the largest there is."""
    fitting = (p for p in _PATCHES if -(-height // p) * -(-width // p) <= max_tokens)
    return next(fitting, _PATCHES[-1])


def _ceil_to(size: int, step: int) -> int:
    return -(-size // step) * step
