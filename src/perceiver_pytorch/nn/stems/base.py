"""What every stem does with its data, mask and coordinates."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from perceiver_pytorch.nn.fourier import evenly_spaced

Coordinates = Sequence[Tensor | None]
"""Per axis, where tokens are, in [-1, 1]: None (equally spaced), ``(length,)`` for the whole batch,
``(batch, length)``, or ``(batch, length, count)`` where an axis has several coordinates a token."""


@dataclass(frozen=True)
class Reach:
    """Which cells of the first axis make a token: token t is made of those from ``t * stride - before`` to
    ``t * stride + behind``.

    Attributes:
        stride: cells from one token to the next.
        before: cells before its first one that it depends on.
        behind: cells after its first one that it depends on, ``stride - 1`` at least.
    """

    stride: int = 1
    before: int = 0
    behind: int = 0


Cells = tuple[Tensor, Tensor | None, int, int]
"""A stretch of data and its mask, and which of the tokens that are made of it count: the first, and how many."""


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

    @property
    def reach(self) -> Reach | None:
        """Which cells of the first axis a token depends on; by default None: a token may depend on all of them, and
        the stem reads no stream."""
        return None

    def learn(self, cells: Callable[[Reach], Iterator[Cells]]) -> None:
        """Takes note of a first train batch that comes in pieces as `forward` does of one that is in memory; by default
        there is nothing to note.

        Args:
            cells: gives all of it in stretches that tokens of a reach can be made of, anew with every call.
        """

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
        mask = _any_in_pieces(mask, axis, stride) if stride > 1 else mask
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
        given = evenly_spaced(length, like.device, torch.float32)
    return given.index_select(min(given.dim() - 1, 1), _first_of_pieces(length, stride, given.device))


def _first_of_pieces(length: int, stride: int, device: torch.device) -> Tensor:
    """The first cell of each piece of an axis; as many as a strided convolution of odd width gives tokens, in the form
    in which PyTorch counts them: a graph compares the two for lengths that it does not know."""
    return torch.arange((length - 1) // stride + 1, device=device) * stride


def _any_in_pieces(mask: Tensor, axis: int, stride: int) -> Tensor:
    """Whether any of the cells of each piece of an axis is True; the last piece may have fewer. No step of it depends
    on the length, so that a graph holds for every one."""
    first = _first_of_pieces(mask.shape[axis], stride, mask.device)
    last = mask.shape[axis] - 1  # counts again for what lies beyond it, and is a cell of the last piece
    found = mask.index_select(axis, first)
    for offset in range(1, stride):
        found = found | mask.index_select(axis, (first + offset).clamp(max=last))
    return found
