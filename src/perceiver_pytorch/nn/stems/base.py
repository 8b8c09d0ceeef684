"""What every stem does with its data, mask and coordinates."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

Coordinates = Sequence[Tensor | None]
"""Per axis, where tokens are, in [-1, 1]: None (equally spaced), ``(length,)`` for the whole batch,
``(batch, length)``, or ``(batch, length, count)`` where an axis has several coordinates a token."""


class Stem(nn.Module):
    """Base class of the stems that a saved model can name.

    Attributes:
        name: as in ``{"name": ..}`` of a configuration.
        channels: of the tokens that it gives.
        rows_by_id: names of its weights that have a row for each id that data may hold, or for each column of numbers.
        portable: whether it reads another table's data of as many channels as well; False where it has weights per
            column or word.
    """

    name: ClassVar[str]
    rows_by_id: ClassVar[tuple[str, ...]] = ()
    portable: ClassVar[bool] = False
    channels: int

    def to_config(self) -> dict[str, Any]:
        """The arguments of the constructor, as JSON values."""
        raise NotImplementedError

    def join(self, others: Sequence[nn.Module]) -> None:
        """Takes weights over from stems of other modalities, which a model has before this one; by default none."""

    def forward(
        self, data: Tensor, mask: Tensor | None, coordinates: Coordinates | None
    ) -> tuple[Tensor, Tensor | None, Coordinates | None]:
        """Raw data as tokens. What a row gives must not depend on the other rows of its batch, nor on how far it is
        padded.

        Args:
            data: ``(batch, *axes, input_channels)``, floats with the modality's scale and offset applied, or ids.
            mask: bool ``(batch, *axes)``, True where data are real; None if all are. What data hold elsewhere does not
                matter.
            coordinates: where the data are, or None: equally spaced.

        Returns:
            Tokens ``(batch, *coarser axes, channels)``, their mask, and where they are.
        """
        raise NotImplementedError


def kept(data: Tensor, mask: Tensor | None) -> Tensor:
    """Data ``(batch, *axes, channels)`` with 0 wherever the mask ``(batch, *axes)`` is False, NaN included."""
    return data if mask is None else torch.where(mask[..., None], data, 0)


def strided_mask(mask: Tensor | None, strides: Sequence[int]) -> Tensor | None:
    """A mask ``(batch, *axes)`` on a grid coarser by ``strides``: True where any of the cells that a token stands for
    is. The last token of an axis may stand for fewer cells."""
    if mask is None or set(strides) <= {1}:
        return mask
    for axis, stride in enumerate(strides, start=1):
        mask = _divided(mask, axis, stride, False).any(axis + 1)
    return mask


def strided_coordinates(
    coordinates: Coordinates | None, axes: Sequence[int], strides: Sequence[int], like: Tensor
) -> Coordinates | None:
    """Where the tokens of a coarser grid are: at the first of the cells that each stands for, which is where a
    convolution of odd width has its centre. A row's tokens so keep their places, however far its batch is padded.

    Args:
        coordinates: of the finer grid.
        axes: its lengths.
        strides: how many cells of each axis make a token.
        like: for the device.

    Returns:
        Per axis None where nothing changes, else as `Coordinates`.
    """
    given = (None,) * len(axes) if coordinates is None else coordinates
    found = [_strided(*each, like) for each in zip(given, axes, strides, strict=True)]
    return None if all(each is None for each in found) else found


def _strided(given: Tensor | None, length: int, stride: int, like: Tensor) -> Tensor | None:
    if stride == 1:
        return given
    if given is None:
        given = torch.linspace(-1, 1, length, device=like.device, dtype=torch.float32)
    return given[::stride] if given.dim() == 1 else given[:, ::stride]


def _divided(values: Tensor, axis: int, stride: int, fill: float) -> Tensor:
    """An axis in pieces of ``stride``, the last one filled up."""
    missing = -values.shape[axis] % stride
    if missing:
        shape = list(values.shape)
        shape[axis] = missing
        values = torch.cat([values, values.new_full(shape, fill)], axis)
    return values.unflatten(axis, (-1, stride))
