"""Flow of images of any size: patches and tiles."""

import itertools

import pytest
import torch
from torch import Tensor

from perceiver_pytorch.interop import flow


def test_patches_are_the_neighbours_of_a_pixel() -> None:
    frame = torch.randint(256, (5, 6, 3), dtype=torch.uint8)
    patches = flow.frame_patches(frame)
    assert patches.shape == (27, 5, 6)
    padded = torch.zeros(7, 8, 3)
    padded[1:-1, 1:-1] = frame.float() / 255 * 2 - 1
    for row, column in ((0, 0), (2, 3), (4, 5)):
        expected = padded[row : row + 3, column : column + 3].reshape(-1)
        torch.testing.assert_close(patches[:, row, column], expected)


@pytest.mark.parametrize("size", [(24, 30), (40, 65), (24, 100)])
def test_tiles_cover_an_image_and_a_constant_stays_one(size: tuple[int, int]) -> None:
    seen = torch.zeros(size)

    def model(patches: Tensor) -> Tensor:
        assert patches.shape == (1, 2, 27, 24, 30)
        return torch.tensor([0.25, -1.0]).expand(1, 24, 30, 2)

    first = torch.zeros(*size, 3, dtype=torch.uint8)
    field = flow.flow_of(first, first, (24, 30), model)
    torch.testing.assert_close(field, torch.tensor([5.0, -20.0]).expand(*size, 2))
    for length, tile in zip(size, (24, 30), strict=True):
        starts = flow.tile_starts(length, tile)
        assert starts[0] == 0
        assert starts[-1] + tile == length
        assert all(b - a <= tile - min(flow.OVERLAP, tile - 1) for a, b in itertools.pairwise(starts))
    assert seen.shape == size
