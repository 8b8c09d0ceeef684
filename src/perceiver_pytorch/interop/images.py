"""Images as the published models want them: opened, cropped, resized, normalised."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pixels."""
BICUBIC = 3


@dataclass(frozen=True)
class ImageProcessing:
    """What is done to an image, by the names of ``preprocessor_config.json``.

    A square of ``size / crop_size`` of the shorter side is cut from the middle, resized, scaled and normalised.

    Args:
        size: height and width after resizing.
        crop_size: what ``size`` is compared with for the crop.
        do_center_crop, do_resize, do_rescale, do_normalize: which steps are taken.
        resample: Pillow's number of the interpolation.
        rescale_factor: what pixels are multiplied by.
        image_mean, image_std: of each channel, after scaling.
    """

    size: tuple[int, int] = (224, 224)
    crop_size: tuple[int, int] = (256, 256)
    do_center_crop: bool = True
    do_resize: bool = True
    do_rescale: bool = True
    do_normalize: bool = True
    resample: int = BICUBIC
    rescale_factor: float = 1 / 255
    image_mean: tuple[float, ...] = MEAN
    image_std: tuple[float, ...] = DEVIATION

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "ImageProcessing":
        """From a ``preprocessor_config.json``: sizes are numbers or ``{"height": .., "width": ..}``."""
        known = {
            name: value for name, value in values.items() if name in cls.__dataclass_fields__ and value is not None
        }
        for name in ("size", "crop_size"):
            if name in known:
                known[name] = _height_and_width(name, known[name])
        for name in ("image_mean", "image_std"):
            if name in known:
                known[name] = tuple(known[name])
        return cls(**known)

    def __call__(self, image: Any) -> Tensor:
        """Normalised pixels ``(3, height, width)`` float32 of an image, see `open_image`."""
        from PIL import Image

        pixels = open_image(image)
        if self.do_center_crop:
            shorter = min(pixels.shape[:2])
            part = [int(size / whole * shorter) for size, whole in zip(self.size, self.crop_size, strict=True)]
            pixels = _middle(pixels, part[0], part[1])
        if self.do_resize:
            height, width = self.size
            resized = Image.fromarray(pixels).resize((width, height), resample=Image.Resampling(self.resample))
            pixels = np.asarray(resized)
        values = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)
        if self.do_rescale:
            values = values * self.rescale_factor
        if self.do_normalize:
            mean, deviation = (torch.tensor(each).view(3, 1, 1) for each in (self.image_mean, self.image_std))
            values = (values - mean) / deviation
        return values.contiguous()

    def as_seen(self, values: Tensor) -> Tensor:
        """What became of an image, as people see it: within [0, 1]."""
        if self.do_normalize:
            mean, deviation = (torch.tensor(each).view(3, 1, 1) for each in (self.image_mean, self.image_std))
            values = values * deviation + mean
        return (values if self.do_rescale else values / 255).clamp(0, 1)


def open_image(image: Any) -> np.ndarray:
    """Pixels ``(height, width, 3)`` uint8.

    Args:
        image: a path, a Pillow image, or an array or tensor ``(height, width, 3)``, ``(3, height, width)`` or
            ``(height, width)``: uint8 in [0, 255], or floats in [0, 1].

    Raises:
        FileNotFoundError, ValueError, TypeError: for no file, no image, or an array of another form.
    """
    from PIL import Image, UnidentifiedImageError

    if isinstance(image, str | Path):
        try:
            with Image.open(image) as opened:
                return np.array(opened.convert("RGB"))
        except UnidentifiedImageError as error:
            raise ValueError(f"{image} is no image that Pillow can read") from error
    if isinstance(image, Image.Image):
        return np.array(image.convert("RGB"))
    if isinstance(image, Tensor):
        image = image.detach().cpu().numpy()
    if not isinstance(image, np.ndarray):
        raise TypeError(f"an image must be a path, a Pillow image, an array or a tensor, got {type(image).__name__}")
    return _as_pixels(image)


def _as_pixels(array: np.ndarray) -> np.ndarray:
    given = f"{array.shape} {array.dtype}"
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=-1)
    if array.ndim == 3 and array.shape[-1] != 3 and array.shape[0] == 3:
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[-1] != 3 or 0 in array.shape:
        raise ValueError(f"an image must be (height, width, 3), (3, height, width) or (height, width), got {given}")
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if not np.issubdtype(array.dtype, np.floating) or not (array.min() >= 0 and array.max() <= 1):
        raise ValueError(f"pixels must be uint8, or floats in [0, 1], got {given}; normalising comes afterwards")
    return np.ascontiguousarray((array * 255).round().astype(np.uint8))


def _middle(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """The middle part; where the image is smaller, zeros around it."""
    missing = [max(0, size - given) for size, given in zip((height, width), pixels.shape, strict=False)]
    if any(missing):
        pixels = np.pad(pixels, [*((-(-each // 2), each // 2) for each in missing), (0, 0)])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def _height_and_width(name: str, size: Any) -> tuple[int, int]:
    if isinstance(size, Mapping) and {"height", "width"} <= set(size):
        return int(size["height"]), int(size["width"])
    if isinstance(size, int) and not isinstance(size, bool):
        return size, size
    if isinstance(size, list | tuple) and len(size) == 2:
        return int(size[0]), int(size[1])
    raise ValueError(f"{name} must be a number or have height and width, got {size!r}")
