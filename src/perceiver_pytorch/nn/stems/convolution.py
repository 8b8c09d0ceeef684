"""A few convolutions that turn a picture, a sound, a film or a series into a coarser grid of wider tokens."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perceiver_pytorch import _checks
from perceiver_pytorch.nn.stems.base import Coordinates, Stem, kept, strided_coordinates, strided_mask
from perceiver_pytorch.nn.stems.token_norm import TokenNorm

MAX_AXES = 3


class ConvolutionStem(Stem):
    """Convolutions over one to three axes, each followed by a norm and GELU.

    A masked token is read as zero by every convolution, as what lies outside the grid is; a token of the coarser grid
    is real where any token under its stride is. So a row's result does not depend on how far its batch is padded.

    Args:
        input_channels: of the data.
        layers: of each convolution ``{"channels": int, "kernel": [odd int per axis], "stride": [int per axis]}``.
        differences: the first convolution also reads every channel's difference to the token before along the first
            axis, such as the frame before.
        changes: so many channels of what the first convolution gives become their difference to the token before. A
            convolution of differences is the difference of its convolutions, so this reads the same for less, and
            with a norm for the differences alone: beside what all frames have in common, they are small.

    Attributes:
        channels: of the output.
        strides: per axis, how many tokens become one.

    Raises:
        ValueError, TypeError: sizes out of range.
    """

    name: ClassVar[str] = "convolution"
    portable: ClassVar[bool] = True

    def __init__(
        self,
        *,
        input_channels: int,
        layers: Sequence[Mapping[str, Any]],
        differences: bool = False,
        changes: int = 0,
    ) -> None:
        super().__init__()
        self.input_channels = _checks.positive_int("input_channels", input_channels)
        self.differences = bool(differences)
        self.layers = [_checked_layer(layer) for layer in layers]
        axes = {len(layer["kernel"]) for layer in self.layers}
        if len(axes) != 1:
            raise ValueError(f"layers must be one or more over the same axes, got {layers!r}")
        self.changes = _checks.within("changes", changes, least=0, most=self.layers[0]["channels"])
        width = input_channels * (2 if differences else 1)
        self.weights, self.norms = nn.ParameterList(), nn.ModuleList()
        for layer in self.layers:
            weight = torch.empty(layer["channels"], width, *layer["kernel"])
            self.weights.append(nn.Parameter(nn.init.kaiming_normal_(weight)))
            self.norms.append(TokenNorm(layer["channels"]))
            width = layer["channels"]
        self.channels = width
        self.strides = [math.prod(strides) for strides in zip(*(layer["stride"] for layer in self.layers), strict=True)]

    def forward(
        self, data: Tensor, mask: Tensor | None = None, coordinates: Coordinates | None = None
    ) -> tuple[Tensor, Tensor | None, Coordinates | None]:
        places = strided_coordinates(coordinates, data.shape[1:-1], self.strides, data)
        x = kept(data, mask)
        if self.differences:
            x = torch.cat([x, _differences(x, mask)], dim=-1)
        for i, (layer, weight, norm) in enumerate(zip(self.layers, self.weights, self.norms, strict=True)):
            x = _convolved(kept(x, mask) if i else x, weight, layer["stride"])
            mask = strided_mask(mask, layer["stride"])
            if self.changes and i == 0:
                still, moving = x.split([x.shape[-1] - self.changes, self.changes], dim=-1)
                x = torch.cat([still, _differences(moving, mask)], dim=-1)
            x = F.gelu(norm(x, mask))
        return x, mask, places

    def to_config(self) -> dict[str, Any]:
        return {
            "input_channels": self.input_channels,
            "layers": self.layers,
            "differences": self.differences,
            "changes": self.changes,
        }


def _checked_layer(layer: Any) -> dict[str, Any]:
    """A layer's channels, kernel and stride, checked."""
    if not isinstance(layer, Mapping) or set(layer) != {"channels", "kernel", "stride"}:
        raise ValueError(f"a layer must have channels, kernel and stride, got {layer!r}")
    _checks.positive_int("channels of a layer", layer["channels"])
    for key in ("kernel", "stride"):
        if not isinstance(layer[key], Sequence) or not 0 < len(layer[key]) <= MAX_AXES:
            raise ValueError(
                f"{key} of a layer must have a number for each of 1 to {MAX_AXES} axes, got {layer[key]!r}"
            )
        for size in layer[key]:
            _checks.positive_int(f"{key} of a layer", size)
    if len(layer["kernel"]) != len(layer["stride"]) or any(size % 2 == 0 for size in layer["kernel"]):
        raise ValueError(f"a layer must have an odd kernel and a stride for each axis, got {layer!r}")
    return {"channels": layer["channels"], "kernel": list(layer["kernel"]), "stride": list(layer["stride"])}


def _differences(data: Tensor, mask: Tensor | None) -> Tensor:
    """Each token minus the one before along the first axis; zero where one of them is missing."""
    change = torch.zeros_like(data)
    change[:, 1:] = data[:, 1:] - data[:, :-1]
    if mask is None:
        return change
    both = torch.zeros_like(mask)
    both[:, 1:] = mask[:, 1:] & mask[:, :-1]
    return kept(change, both)


def _convolved(data: Tensor, weight: Tensor, stride: Sequence[int]) -> Tensor:
    """A convolution ``(batch, *axes, channels)`` without bias, zeros around the grid.

    Axes of kernel 1 are folded away where that leaves two axes: PyTorch's convolution of two axes is its fastest, and
    reads channels where they lie in memory here.
    """
    kernel, batch = weight.shape[2:], data.shape[0]
    if len(kernel) == 1:
        return _convolved(data.unsqueeze(1), weight.unsqueeze(2), (1, *stride)).squeeze(1)
    if len(kernel) == 3 and kernel[0] == stride[0] == 1:
        return _convolved(data.flatten(0, 1), weight.squeeze(2), stride[1:]).unflatten(0, (batch, -1))
    if len(kernel) == 3 and kernel[1:] == (1, 1) and tuple(stride[1:]) == (1, 1):
        flat = _convolved(data.flatten(2, 3), weight.squeeze(-1), (stride[0], 1))
        return flat.unflatten(2, data.shape[2:4])
    function = F.conv2d if len(kernel) == 2 else F.conv3d
    return function(data.movedim(-1, 1), weight, None, tuple(stride), [size // 2 for size in kernel]).movedim(1, -1)
