"""Decode image files with Pillow into 8-bit grey or RGB."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch.data.errors import need

if TYPE_CHECKING:
    from PIL.Image import Image

_REFUSED = frozenset({"EPS", "WMF"})  # Pillow would start other programs to draw them
_ORIENTATION = 0x0112  # EXIF tag
_SIDEWAYS = (5, 6, 7, 8)  # orientations that swap height and width
_ROWS = 256  # rows of a 16-bit image converted at a time

Fit = Callable[[int, int], tuple[int, int]]
"""From an image's height and width to those that are wanted."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded image, of mode L or RGB, and the height and width that it had in its file (upright)."""

    image: "Image"
    height: int
    width: int


def read_image(source: bytes | Path, fit: Fit | None = None) -> Picture:
    """Decode an image file (the first frame), turned upright by its EXIF orientation.

    Alpha and transparent palette entries lie on white, 16 bits are scaled to 8. A large JPEG is decoded at an eighth to
    half of its size where that is still twice what is wanted.

    Args:
        source: the file's bytes, or its path.
        fit: gives the size to resize to (averaging over the area when it shrinks); None: as it is.

    Raises:
        ValueError: it is damaged, of a kind that is not supported, or has more than twice the pixels of Pillow's
            `Image.MAX_IMAGE_PIXELS` (179 million in all).
    """
    pil = need("PIL.Image", "decode images")
    pil.init()
    formats = [name for name in pil.ID if name not in _REFUSED]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about details of damaged EXIF data and the like: the picture is what counts
        try:
            with pil.open(BytesIO(source) if isinstance(source, bytes) else source, formats=formats) as file:
                return _upright(file, fit or (lambda height, width: (height, width)))
        except pil.DecompressionBombError as error:
            raise ValueError(f"the image is suspiciously large ({error})") from error
        except pil.UnidentifiedImageError as error:
            raise ValueError("the image cannot be decoded (it is in no format that Pillow reads)") from error
        except Exception as error:  # Pillow's plugins raise whatever their parsing runs into
            raise ValueError(f"the image cannot be decoded ({error})") from error


def to_array(image: "Image", colors: int) -> "np.ndarray":
    """An L or RGB image as uint8 (height, width, colors), colors being 1 or 3."""
    pixels = np.asarray(image.convert("L" if colors == 1 else "RGB"))
    return pixels.reshape(image.height, image.width, colors)


def _upright(file: Any, fit: Fit) -> Picture:
    transpose = need("PIL.Image", "decode images").Transpose
    width, height = file.size
    side = 2 * max(fit(height, width))
    file.draft(None, (side, side))  # a JPEG decoder skips what is not needed
    file.load()
    orientation = file.getexif().get(_ORIENTATION, 1)
    sideways = orientation in _SIDEWAYS
    if sideways:
        height, width = width, height
    wanted = fit(height, width)
    image = _on_white(_resized(_eight_bit(file), *(wanted[::-1] if sideways else wanted)))
    turns = {
        2: transpose.FLIP_LEFT_RIGHT,
        3: transpose.ROTATE_180,
        4: transpose.FLIP_TOP_BOTTOM,
        5: transpose.TRANSPOSE,
        6: transpose.ROTATE_270,
        7: transpose.TRANSVERSE,
        8: transpose.ROTATE_90,
    }
    return Picture(image.transpose(turns[orientation]) if orientation in turns else image, height, width)


def _resized(image: "Image", height: int, width: int) -> "Image":
    if image.size == (width, height):
        return image
    bilinear = need("PIL.Image", "decode images").Resampling.BILINEAR
    return image.resize((width, height), bilinear, reducing_gap=3.0)


def _eight_bit(image: "Image") -> "Image":
    """As L, LA, RGB or RGBA."""
    if image.mode.startswith("I"):  # I;16 and its kin, or I: 16-bit grey that Pillow widened
        return _grey(image, 257.0)
    if image.mode == "F":
        low, high = np.ravel(image.getextrema())
        if not 0 <= low <= high <= 1:
            raise ValueError(f"floating-point pixels must lie between 0 and 1, got {low} to {high}")
        return _grey(image, 1 / 255)
    if image.mode in ("LA", "La"):
        mode = "LA"
    elif image.mode in ("PA", "RGBA", "RGBa") or "transparency" in image.info:
        mode = "RGBA"
    else:
        mode = "L" if image.mode in ("L", "1") else "RGB"
    return image if image.mode == mode else image.convert(mode)  # convert() copies in any case


def _grey(image: "Image", divisor: float) -> "Image":
    pixels = np.empty((image.height, image.width), np.uint8)
    for top in range(0, image.height, _ROWS):
        part = np.asarray(image.crop((0, top, image.width, min(top + _ROWS, image.height))), dtype=np.float32)
        if part.max() > 65535:
            raise ValueError(f"pixels must have 16 bits at most, got {part.max():.0f}")
        pixels[top : top + _ROWS] = np.clip(np.round(part / divisor), 0, 255)
    return need("PIL.Image", "decode images").fromarray(pixels)


def _on_white(image: "Image") -> "Image":
    if image.mode not in ("LA", "RGBA"):
        return image
    pil = need("PIL.Image", "decode images")
    colored = image.convert("RGBA")
    background = pil.new("RGBA", colored.size, (255, 255, 255, 255))
    return pil.alpha_composite(background, colored).convert("L" if image.mode == "LA" else "RGB")
