"""Where a published classifier of pictures looked, in pixels."""

import numpy as np
import pytest
import torch

from interop.pictures import SMALL, picture
from perceiver_pytorch.explain.apart import Apart
from perceiver_pytorch.explain.attention import decoded, recorded
from perceiver_pytorch.explain.pictures import explain_picture, on_pixels
from perceiver_pytorch.interop.published_perceiver import PublishedPerceiver


@pytest.mark.parametrize("task", ["image-fourier", "image-conv", "image-learned"])
def test_attention_is_spread_over_the_pixels_it_stands_for(task):
    torch.manual_seed(0)
    sizes = {"num_labels": 3, "image_size": 16} if task == "image-learned" else {"num_labels": 3}
    model = PublishedPerceiver(task, {**SMALL, **sizes}).eval()
    pixels = torch.rand(1, 3, 16, 16)
    found = explain_picture(model, model, pixels, picture(16, 16), model.labels, number=2, apart=Apart(layers=[0]))
    with recorded(model) as record:
        logits = model(pixels)[0]
    (expected,) = record.rollout(decoded(record))
    grid = found.maps["attention"].grids["picture"]
    assert grid.shape == (16, 16)
    assert grid.sum() == pytest.approx(float(expected.sum()), rel=1e-4)
    if task != "image-conv":
        np.testing.assert_allclose(grid.reshape(-1), expected.flatten().numpy(), rtol=1e-4)
    assert found.maps["attention.layer-0"].grids["picture"].sum() == pytest.approx(1, abs=1e-4)
    assert (found.row, found.noun, found.prediction) == (2, "picture", model.labels[int(logits.argmax())])
    assert found.drawings["attention"]["picture"][0]["value"].startswith("data:image/png")


def test_tokens_in_a_line_are_laid_on_the_grid():
    heat = on_pixels(torch.arange(6.0), 4, 6)
    np.testing.assert_allclose(heat[::2, ::2] * 4, torch.arange(6.0).view(2, 3).numpy(), rtol=1e-6)
    with pytest.raises(ValueError, match="no grid"):
        on_pixels(torch.rand(7), 6, 6)
