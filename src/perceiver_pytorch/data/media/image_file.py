"""Decode image files with Pillow into 8-bit grey or RGB."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch.data.cell_memory import CELL_BYTES, TooLargeError, claim
from perceiver_pytorch.data.errors import need
from perceiver_pytorch.data.media import av_file
from perceiver_pytorch.data.media.fitting import Fit, fitted

if TYPE_CHECKING:
    from PIL.Image import Image

_REFUSED = frozenset({"EPS", "WMF"})  # Pillow would start other programs to draw them
_ORIENTATION = 0x0112  # EXIF tag
_SIDEWAYS = (5, 6, 7, 8)  # orientations that swap height and width
_ROWS = 256  # rows of a 16-bit image converted at a time
_LOOK = 512  # pixels: images are looked at no larger than this
_STORED = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}  # bytes a pixel; 4 of other modes
_CORNER = 8  # pixels: a block of JPEG
_END = 16  # bytes
_WEBP = (1 << 14) - 1  # largest side of a WebP image
_FRAMES = frozenset({"AVIF", "GIF", "PNG", "TIFF", "WEBP"})  # others keep previews and layers besides their image
WHITE = 65535  # of 16 bits


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded image.

    Attributes:
        image: of mode L or RGB.
        height, width: those that it had in its file (upright).
        peak: the largest value of a 16-bit image; 0 of others.
        incomplete: the file is a JPEG without its end, in place of which there is grey.
        several: the file has further frames or pages.
    """

    image: "Image"
    height: int
    width: int
    peak: int = 0
    incomplete: bool = False
    several: bool = False

    @property
    def grey(self) -> bool:
        """Whether it has no colour."""
        pixels = to_array(self.image, 3)
        return self.image.mode == "L" or bool((pixels == pixels[..., :1]).all())


@dataclass(frozen=True)
class ImageFacts:
    """What is to be known of an image before others are fitted to it: its size in pixels, whether it has no colour, and
    its largest value if it has 16 bits, else 0."""

    height: int
    width: int
    grey: bool
    peak: int = 0

    @classmethod
    def look(cls, source: bytes | Path, most: int = CELL_BYTES) -> "ImageFacts":
        """Decode an image file; arguments and errors are those of `read_image`."""
        picture = read_image(source, lambda h, w: fitted(h, w, min(h, _LOOK), min(w, _LOOK), "pad"), most)
        return cls(picture.height, picture.width, picture.grey, picture.peak)


def read_image(source: bytes | Path, fit: Fit | None = None, most: int = CELL_BYTES, white: int = WHITE) -> Picture:
    """Decode an image file (the first frame), turned upright by its EXIF orientation.

    Alpha and transparent palette entries lie on white, 16 bits are scaled to 8. A large JPEG is decoded at an eighth to
    half of its size where that is still twice what is wanted.

    Args:
        source: the file's bytes, or its path.
        fit: gives the size to resize to (averaging over the area when it shrinks); None: as it is.
        most: bytes that decoding may take.
        white: the value of 16 bits that becomes 255 of 8 bits, as all above it do.

    Raises:
        ValueError: it is damaged, of a kind that is not supported, or takes more memory.
    """
    with _opened(source, most) as file:
        is_jpeg = file.format in ("JPEG", "MPO")
        several = file.format in _FRAMES and _has_frames(file)
        picture = _upright(file, fit or (lambda height, width: (height, width)), most, white)
        ends_early = picture.incomplete and not av_file.is_whole_jpeg(source)
        return replace(picture, several=several, incomplete=is_jpeg and (ends_early or _never_arrived(source)))


def image_size(source: bytes | Path, most: int = CELL_BYTES) -> tuple[int, int]:
    """Height and width that an image's header says; arguments and errors are those of `read_image`."""
    with _opened(source, most) as file:
        return file.height, file.width


@contextmanager
def _opened(source: bytes | Path, most: int) -> Iterator[Any]:
    """An image file opened by Pillow; what goes wrong within is worded."""
    pil = need("PIL.Image", "decode images")
    pil.init()
    formats = [name for name in pil.ID if name not in _REFUSED]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about details of damaged EXIF data and the like: the picture is what counts
        try:
            _claim_webp(source, most)
            with pil.open(BytesIO(source) if isinstance(source, bytes) else source, formats=formats) as file:
                yield file
        except (MemoryError, TooLargeError):
            raise
        except pil.UnidentifiedImageError as error:
            raise ValueError("the image cannot be decoded (it is in no format that Pillow reads)") from error
        except Exception as error:  # Pillow's plugins raise whatever their parsing runs into
            raise ValueError(f"the image cannot be decoded ({error})") from error


def _has_frames(file: Any) -> bool:
    """Whether there are more frames than the first; of a file that is damaged behind that, no."""
    try:
        return bool(file.is_animated)
    except Exception:  # Pillow's plugins raise whatever their parsing runs into
        file.seek(0)
        return False


def to_array(image: "Image", colors: int) -> "np.ndarray":
    """An L or RGB image as uint8 (height, width, colors), colors being 1 or 3."""
    pixels = np.asarray(image.convert("L" if colors == 1 else "RGB"))
    return pixels.reshape(image.height, image.width, colors)


def _upright(file: Any, fit: Fit, most: int, white: int) -> Picture:
    transpose = need("PIL.Image", "decode images").Transpose
    width, height = file.size
    side = 2 * max(fit(height, width))
    file.draft(None, (side, side))  # a JPEG decoder skips what is not needed
    claim("the image", f"{width}x{height} pixels", _memory(file, width * height), most)
    file.load()
    ends_grey = _ends_grey(file)
    orientation = file.getexif().get(_ORIENTATION, 1)
    sideways = orientation in _SIDEWAYS
    if sideways:
        height, width = width, height
    wanted = fit(height, width)
    peak = int(np.max(file.getextrema())) if file.mode.startswith("I") else 0
    image = _on_white(_resized(_eight_bit(file, white), *(wanted[::-1] if sideways else wanted)))
    turns = {
        2: transpose.FLIP_LEFT_RIGHT,
        3: transpose.ROTATE_180,
        4: transpose.FLIP_TOP_BOTTOM,
        5: transpose.TRANSPOSE,
        6: transpose.ROTATE_270,
        7: transpose.TRANSVERSE,
        8: transpose.ROTATE_90,
    }
    image = image.transpose(turns[orientation]) if orientation in turns else image
    return Picture(image, height, width, peak, ends_grey)


def _claim_webp(source: bytes | Path, most: int) -> None:
    """`claim` for a WebP file, whose decoder takes two images of memory as soon as Pillow looks at the file."""
    with BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        begins = file.read(30)
    if begins[8:12] != b"WEBP":
        return
    low, high = (int.from_bytes(begins[at : at + 3], "little") for at in (24, 27))
    width, height = low + 1, high + 1
    if begins[12:16] == b"VP8L":
        bits = int.from_bytes(begins[21:25], "little")
        width, height = (bits & _WEBP) + 1, (bits >> 14 & _WEBP) + 1
    elif begins[12:16] == b"VP8 ":
        width, height = (int.from_bytes(begins[at : at + 2], "little") & _WEBP for at in (26, 28))
    claim("the image", f"{width}x{height} pixels", 8 * width * height, most)


def _memory(file: Any, pixels: int) -> int:
    """Bytes that an opened image of so many pixels takes until it is resized: itself, converted, and with its colours
    multiplied by alpha; a progressive JPEG's coefficients are all kept, however small it is decoded."""
    mode = _mode(file)
    each = _STORED.get(file.mode, 4) + (0 if mode == file.mode else _STORED.get(mode, 4)) + 4 * (mode in ("LA", "RGBA"))
    coefficients = 2 * len(file.getbands()) * pixels if file.info.get("progressive") else 0
    return each * file.size[0] * file.size[1] + coefficients


def _never_arrived(source: bytes | Path) -> bool:
    """Whether a JPEG has zeros for its end, as a file whose place was taken before all of it came."""
    with BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        file.seek(-min(_END, file.seek(0, 2)), 2)
        if any(file.read()):
            return False
        file.seek(0)
        data = file.read()
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")  # no end of the image after the last scan's begin


def _ends_grey(file: Any) -> bool:
    """Whether a JPEG ends in the grey that libjpeg fills it up with, without a word, where its data end too early."""
    if file.mode not in ("L", "RGB"):
        return False
    corner = file.crop((max(0, file.width - _CORNER), max(0, file.height - _CORNER), file.width, file.height))
    return set(np.ravel(corner.getextrema())) == {128}


def _resized(image: "Image", height: int, width: int) -> "Image":
    if image.size == (width, height):
        return image
    bilinear = need("PIL.Image", "decode images").Resampling.BILINEAR
    return image.resize((width, height), bilinear, reducing_gap=3.0)


def _eight_bit(image: "Image", white: int) -> "Image":
    """As L, LA, RGB or RGBA."""
    if image.mode.startswith("I"):  # I;16 and its kin, or I: 16-bit grey that Pillow widened
        return _grey(image, white / 255)
    if image.mode == "F":
        low, high = np.ravel(image.getextrema())
        if not 0 <= low <= high <= 1:
            raise ValueError(f"floating-point pixels must lie between 0 and 1, got {low} to {high}")
        return _grey(image, 1 / 255)
    mode = _mode(image)
    return image if image.mode == mode else image.convert(mode)  # convert() copies in any case


def _mode(image: "Image") -> str:
    """The mode of 8 bits that an image goes on in."""
    if image.mode in ("LA", "La"):
        return "LA"
    if image.mode in ("PA", "RGBA", "RGBa") or "transparency" in image.info:
        return "RGBA"
    return "L" if image.mode in ("L", "1", "F") or image.mode.startswith("I") else "RGB"


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
