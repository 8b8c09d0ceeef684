"""A few convolutions that turn a picture, a sound, a film or a series into a coarser grid of wider tokens."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perceiver_pytorch import _checks
from perceiver_pytorch.nn.stems.base import Cells, Coordinates, Reach, Stem, kept, strided_coordinates, strided_mask
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
        x, mask = self._through(data, mask, len(self.layers))
        return x, mask, places

    def _through(self, data: Tensor, mask: Tensor | None, count: int) -> tuple[Tensor, Tensor | None]:
        """What so many layers make of the data, and its mask."""
        x = kept(data, mask)
        if self.differences:
            x = torch.cat([x, _differences(x, mask)], dim=-1)
        for i in range(count):
            x, mask = self._convolved(i, x, mask)
            x = F.gelu(self.norms[i](x, mask))
        return x, mask

    def _convolved(self, i: int, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """What layer i makes of what the one before it gave, up to its norm."""
        stride = self.layers[i]["stride"]
        x = _convolved(kept(x, mask) if i else x, self.weights[i], stride)
        mask = strided_mask(mask, stride)
        if self.changes and i == 0:
            still, moving = x.split([x.shape[-1] - self.changes, self.changes], dim=-1)
            x = torch.cat([still, _differences(moving, mask)], dim=-1)
        return x, mask

    @property
    def reach(self) -> Reach:
        return self._reach(len(self.layers))

    def _reach(self, count: int) -> Reach:
        """Of a token of so many layers: backwards, from the token to the cells."""
        before, behind, stride = 0, 0, 1
        for i in reversed(range(count)):
            size, step = self.layers[i]["kernel"][0], self.layers[i]["stride"][0]
            before += bool(self.changes) and i == 0
            before, behind = before * step + size // 2, behind * step + max(size // 2, step - 1)
            stride *= step
        return Reach(stride, before + self.differences, behind)

    @torch.no_grad()
    def learn(self, cells: Callable[[Reach], Iterator[Cells]]) -> None:
        """Statistics of one norm after another: each needs those before it, and reads everything."""
        for i, norm in enumerate(self.norms):
            assert isinstance(norm, TokenNorm)
            if norm.reads_whole_batch:
                norm.learn(self._tokens(i, cells))

    def _tokens(self, i: int, cells: Callable[[Reach], Iterator[Cells]]) -> Iterator[Tensor]:
        """The real tokens ``(count, channels)`` that the norm of layer i reads, each once."""
        for data, mask, first, count in cells(self._reach(i + 1)):
            x, there = self._convolved(i, *self._through(data, mask, i))
            x = x.narrow(1, first, count)
            yield x.flatten(0, -2) if there is None else x[there.narrow(1, first, count)]

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
