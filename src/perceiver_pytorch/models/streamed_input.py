"""An input that is read in pieces: films and sounds longer than memory."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from perceiver_pytorch.nn.stems import Coordinates, Reach


@dataclass(frozen=True, eq=False)
class Piece:
    """A stretch of the first axis, with the cells around it that its tokens depend on.

    Attributes:
        data: ``(batch, length, *axes, channels)``.
        mask: bool ``(batch, length, *axes)`` or None.
        coordinates: where they are, or None.
        first, count: which of the tokens made of it count: the first, and how many. Others lack some of their cells.
    """

    data: Tensor
    mask: Tensor | None
    coordinates: Coordinates | None
    first: int
    count: int


class StreamedInput:
    """A modality's data in pieces along its first axis, of which a model has one in memory at a time.

    Models take it in the place of a tensor. The result and the gradients are those of all pieces at once: every layer
    that attends to the modality reads all pieces anew, and the backward pass reads them once more.

    Args:
        read: gives the pieces, ``(batch, any length, *axes, channels)`` or token ids, from the first to the last. It is
            called anew for every reading, and must give the same each time.
        shape: of all of it, ``(batch, length, *axes, channels)``.

    Raises:
        ValueError, TypeError: for a shape of less than two whole numbers above 0, or a ``read`` that is no function.

    Example:
        >>> import torch
        >>> from perceiver_pytorch import Perceiver
        >>> model = Perceiver(num_freq_bands=4, depth=1, max_freq=8.0, input_channels=1, input_axis=1, num_latents=4,
        ...                   latent_dim=8, num_classes=2)
        >>> sound = torch.randn(1, 1000, 1)
        >>> streamed = StreamedInput(lambda: sound.split(300, dim=1), sound.shape)
        >>> torch.allclose(model(streamed), model(sound), atol=1e-5)
        True
    """

    def __init__(self, read: Callable[[], Iterable[Tensor]], shape: Sequence[int]) -> None:
        if not callable(read):
            raise TypeError(f"read must be a function that gives the pieces anew, got {type(read).__name__}")
        if len(shape) < 2 or not all(isinstance(size, int) and size > 0 for size in shape):
            raise ValueError(f"shape must be (batch, length, *axes, channels), numbers above 0, got {tuple(shape)}")
        self.read, self.shape = read, tuple(shape)

    def like(self) -> Tensor:
        """A tensor of the whole shape, without memory: for checks."""
        return torch.empty(self.shape, dtype=torch.int64, device="meta")

    def data(self) -> Iterator[tuple[int, Tensor]]:
        """Every piece and where it begins.

        Raises:
            ValueError, TypeError: for a piece that does not fit, or pieces that are not as long as the shape says.
        """
        start, batch, length, rest = 0, self.shape[0], self.shape[1], self.shape[2:]
        for piece in self.read():
            if not isinstance(piece, Tensor):
                raise TypeError(f"a piece of a StreamedInput must be a tensor, got {type(piece).__name__}")
            shape = tuple(piece.shape)
            if len(shape) != len(self.shape) or shape[0] != batch or shape[2:] != rest or not shape[1]:
                expected = ", ".join(map(str, (batch, "any length", *rest)))
                raise ValueError(f"piece at {start} of a StreamedInput must be ({expected}), got {shape}")
            if piece.requires_grad:
                raise ValueError(
                    "a piece of a StreamedInput must be data without gradient: what makes tokens of it and learns is a "
                    "stem of the modality"
                )
            if start + shape[1] > length:
                raise ValueError(f"the pieces of a StreamedInput are longer than its {length} places")
            yield start, piece
            start += shape[1]
        if start != length:
            raise ValueError(f"the pieces of a StreamedInput end at {start}, not at {length}; does it start anew?")

    def pieces(
        self, mask: Tensor | None, coordinates: Coordinates | None, *, placed: bool, reach: Reach | None = None
    ) -> Iterator[Piece]:
        """Every stretch with its part of the mask and the coordinates of the whole, so that each token counts once.

        Args:
            mask: ``(batch, length, *axes)`` or None.
            coordinates: of the whole; None: equally spaced.
            placed: whether tokens have positions.
            reach: of the stem that makes tokens of them; None: each cell is a token.
        """
        first, *others = coordinates or [None] * max(1, len(self.shape) - 2)
        if placed and first is None:
            first = torch.linspace(-1.0, 1.0, self.shape[1])
        for start, data, token, count in _stretches(self.data(), self.shape[1], reach or Reach()):
            stop = start + data.shape[1]
            seen = None if mask is None else mask[:, start:stop]
            place = first if first is None else first[start:stop] if first.dim() == 1 else first[:, start:stop]
            yield Piece(data, seen, [place, *others] if placed else None, token, count)


@dataclass(frozen=True, eq=False)
class MixedInput:
    """A modality of which some rows of a batch are in memory and others are read in pieces.

    Attributes:
        data: ``(batch, *axes, channels)``, with the mask False where rows are read in pieces.
        rows: by the number of the row its data, a `StreamedInput` of a batch of 1.
        coordinates: by the number of the row where its tokens are; of rows that are missing, equally spaced.
    """

    data: Tensor
    rows: Mapping[int, StreamedInput]
    coordinates: Mapping[int, Coordinates] = field(default_factory=dict)

    @property
    def shape(self) -> torch.Size:
        """That of the data in memory."""
        return self.data.shape


def _stretches(
    pieces: Iterable[tuple[int, Tensor]], length: int, reach: Reach
) -> Iterator[tuple[int, Tensor, int, int]]:
    """Stretches of cells of which tokens can be made: where each begins, its cells, and which of its tokens count.

    A stretch begins where a token does, so that strides stay in phase. It has the cells that its tokens depend on, and
    repeats those that the ones before it share. At either end of the whole it ends with it, as a stem expects.
    """
    held: list[Tensor] = []
    low = end = token = 0  # the first cell that is held, the one behind the last, and the next token
    tokens = (length - 1) // reach.stride + 1
    for start, piece in pieces:
        end = start + piece.shape[1]
        held.append(piece)
        del piece
        ready = tokens if end == length else max(token, (end - 1 - reach.behind) // reach.stride + 1)
        shared = reach.before + reach.behind  # cells that are read twice: no more of them than of others
        if ready == token or (end < length and (ready - token) * reach.stride < shared):
            continue
        data = held.pop() if len(held) == 1 else torch.cat(held, dim=1)
        held.clear()
        following = max(low, (ready * reach.stride - reach.before) // reach.stride * reach.stride)
        if following < end < length:
            held.append(data[:, following - low :].clone())
        yield low, data, token - low // reach.stride, ready - token
        del data
        low, token = following, ready
