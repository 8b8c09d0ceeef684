"""The published configurations: as many parameters as the published weights have."""

import pytest
import torch

from perceiver_pytorch.interop.published_perceiver import PublishedPerceiver
from perceiver_pytorch.interop.published_sizes import PUBLISHED

MILLIONS = {
    "deepmind/language-perceiver": 201.1,
    "deepmind/vision-perceiver-learned": 62.3,
    "deepmind/vision-perceiver-fourier": 48.4,
    "deepmind/vision-perceiver-conv": 48.6,
    "deepmind/optical-flow-perceiver": 41.1,
    "deepmind/multimodal-perceiver": 19.9,
}


@pytest.mark.parametrize("repository", MILLIONS)
def test_models_have_the_published_number_of_parameters(repository: str) -> None:
    with torch.device("meta"):
        model = PublishedPerceiver(*PUBLISHED[repository])
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 1) == MILLIONS[repository]


def test_the_convolution_gives_55_by_55_tokens() -> None:
    with torch.device("meta"):
        model = PublishedPerceiver(*PUBLISHED["deepmind/vision-perceiver-conv"]).eval()
        (context,) = model.contexts(torch.rand(1, 3, 224, 224))
    assert context.axes == (55, 55)
