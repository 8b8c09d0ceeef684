"""Images as the published models want them, against transformers' own processing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from interop.pictures import picture
from perceiver_pytorch.interop.images import ImageProcessing, open_image


@pytest.mark.parametrize("size", [(40, 61), (61, 40), (17, 17), (300, 260)])
@pytest.mark.parametrize("changes", [{}, {"size": {"height": 9, "width": 12}, "do_normalize": False}, {"size": 32}])
def test_pixels_are_those_of_transformers(size: tuple[int, int], changes: dict[str, Any]) -> None:
    from transformers.models.perceiver.image_processing_pil_perceiver import PerceiverImageProcessorPil

    image = Image.fromarray(picture(*size))
    theirs = PerceiverImageProcessorPil(**changes)
    expected = theirs(image, return_tensors="pt")["pixel_values"][0]
    actual = ImageProcessing.of(json.loads(theirs.to_json_string()))(image)
    torch.testing.assert_close(actual, expected.float(), rtol=0, atol=2e-6)


def test_images_of_every_form_are_the_same(tmp_path: Path) -> None:
    pixels = picture(20, 30)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    forms = [
        *(tmp_path / "image.png", str(tmp_path / "image.png"), Image.fromarray(pixels), pixels),
        *(torch.from_numpy(pixels), pixels.transpose(2, 0, 1), pixels / 255),
    ]
    assert all(np.array_equal(open_image(form), pixels) for form in forms)
    assert open_image(pixels[..., 0]).shape == (20, 30, 3)
    (tmp_path / "text.png").write_text("no image")
    for wrong, message in (
        (pixels[..., :2], r"got \(20, 30, 2\)"),
        (pixels * 1.0, "floats in \\[0, 1\\]"),
        (tmp_path / "text.png", "no image that Pillow can read"),
    ):
        with pytest.raises(ValueError, match=message):
            open_image(wrong)
    with pytest.raises(TypeError, match="got int"):
        open_image(3)


@pytest.mark.parametrize("steps", [{}, {"do_rescale": False}, {"do_normalize": False}])
def test_an_image_is_seen_again_as_it_was(steps: dict[str, bool]) -> None:
    process = ImageProcessing.of({"size": 16, "crop_size": 16, **steps})
    pixels = picture(16, 16)
    seen = (process.as_seen(process(pixels)) * 255).round().permute(1, 2, 0).numpy()
    assert np.array_equal(seen, pixels)
