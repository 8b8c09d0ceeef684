"""Patches: neighbouring cells of a grid become one token, by one linear layer."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from perceiver_pytorch import _checks
from perceiver_pytorch.nn.stems.base import Coordinates, Reach, Stem, kept, strided_coordinates, strided_mask


class PatchStem(Stem):
    """Non-overlapping patches, each through one linear layer; cells that are missing count as 0.

    Args:
        input_channels: of the data.
        patch: cells of a patch along each axis.
        channels: of a token; at most 64 are read by compiled kernels.

    Raises:
        ValueError, TypeError: for sizes that are no positive numbers.
    """

    name: ClassVar[str] = "patch"
    portable: ClassVar[bool] = True

    def __init__(self, input_channels: int, patch: Sequence[int], channels: int = 64) -> None:
        super().__init__()
        self.input_channels = _checks.positive_int("input_channels", input_channels)
        self.patch = tuple(_checks.positive_int("each of patch", size) for size in patch)
        if not 1 <= len(self.patch) <= 3:
            raise ValueError(f"patch must have 1 to 3 sizes, one per axis, got {len(self.patch)}")
        self.channels = _checks.positive_int("channels", channels)
        convolution: Any = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(self.patch) - 1]
        self.project: Any = convolution(input_channels, channels, self.patch, stride=self.patch)

    @property
    def reach(self) -> Reach:
        return Reach(self.patch[0], 0, self.patch[0] - 1)

    def to_config(self) -> dict[str, Any]:
        return {"input_channels": self.input_channels, "patch": list(self.patch), "channels": self.channels}

    def forward(
        self, data: Tensor, mask: Tensor | None, coordinates: Coordinates | None
    ) -> tuple[Tensor, Tensor | None, Coordinates | None]:
        axes = data.shape[1:-1]
        cells = kept(data, mask).to(self.project.weight.dtype).movedim(-1, 1)
        if torch.compiler.is_compiling():  # a graph is to hold for every length; what is too much makes no patch
            missing = [size - 1 for size in self.patch]
        else:
            missing = [-length % size for length, size in zip(axes, self.patch, strict=True)]
        if any(missing):
            cells = nn.functional.pad(cells, [n for size in reversed(missing) for n in (0, size)])
        tokens = self.project(cells).movedim(1, -1)
        return tokens, strided_mask(mask, self.patch), strided_coordinates(coordinates, axes, self.patch, data)
