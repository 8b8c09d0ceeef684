"""Decode image files with Pillow into 8-bit grey or RGB."""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from ..errors import need

if TYPE_CHECKING:
    from PIL.Image import Image

# Pillow knows many more formats; some of them start other programs (EPS) or were never meant for untrusted files.
_FORMATS = ("PNG", "JPEG", "MPO", "GIF", "BMP", "WEBP", "TIFF")


def read_image(data: bytes) -> Image:
    """Decode an image file (the first frame), turned upright by its EXIF orientation.

    Returns:
        A Pillow image of mode L or RGB: alpha and transparent palette entries lie on white, 16 bits are scaled to 8.

    Raises:
        ValueError: it is damaged, of a kind that is not supported, or has more pixels than Pillow's
            `Image.MAX_IMAGE_PIXELS`.
    """
    pil = need("PIL.Image", "decode images")
    ops = need("PIL.ImageOps", "decode images")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about details of damaged EXIF data and the like: the picture is what counts
        warnings.simplefilter("error", pil.DecompressionBombWarning)
        try:
            with pil.open(BytesIO(data), formats=_FORMATS) as file:
                file.load()
                return _to_8_bit(ops.exif_transpose(file))
        except (pil.DecompressionBombWarning, pil.DecompressionBombError) as error:
            raise ValueError(f"the image is suspiciously large ({error})") from error
        except Exception as error:  # Pillow's plugins raise whatever their parsing runs into
            raise ValueError(f"the image cannot be decoded ({error})") from error


def resized(image: Image, height: int, width: int) -> Image:
    """The image at another size in pixels; Pillow's bilinear filter averages over the area when it shrinks."""
    if image.size == (width, height):
        return image
    return image.resize((width, height), need("PIL.Image", "decode images").Resampling.BILINEAR)


def to_array(image: Image, colors: int) -> np.ndarray:
    """An L or RGB image as uint8 (height, width, colors), colors being 1 or 3."""
    pixels = np.asarray(image.convert("L" if colors == 1 else "RGB"))
    return pixels.reshape(image.height, image.width, colors)


def _to_8_bit(image: Image) -> Image:
    pil = need("PIL.Image", "decode images")
    if image.mode.startswith("I"):  # I;16 and its kin, or I: 16-bit grey that Pillow widened
        grey = np.clip(np.asarray(image, dtype=np.float64) / 257.0, 0, 255)
        return pil.fromarray(np.round(grey).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point images have no known range; save it as 8-bit or 16-bit")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        grey_alpha = image.mode in ("LA", "La")
        colored = image.convert("RGBA")
        background = pil.new("RGBA", colored.size, (255, 255, 255, 255))
        return pil.alpha_composite(background, colored).convert("L" if grey_alpha else "RGB")
    return image.convert("L" if image.mode in ("L", "1") else "RGB")
