"""What a decoder asks the latents, in plain values (Perceiver IO, arXiv 2107.14795, section 3.2).

A *spec* (`LearnedQueries`, `FourierQueries`, `InputQueries`, `GivenQueries`) says what queries are made of; the module
that it builds makes them, for any choice of indices, so that nobody has to form them all. Queries lie on a grid
``axes``, like tokens; index i is the i-th place in row-major order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from perceiver_pytorch import _checks
from perceiver_pytorch.nn.query_arrays import FourierQueryArray, GivenQueryArray, InputQueryArray, LearnedQueryArray


@dataclass(frozen=True)
class LearnedQueries:
    """Learned vectors, one for each place of a grid.

    Args:
        dim: channels of a query.
        axes: lengths of the grid's axes; ``()``: a single query, whose output has no axis (a class, a task).
    """

    dim: int
    axes: Sequence[int] = ()

    def __post_init__(self) -> None:
        _checks.positive_int("dim of LearnedQueries", self.dim)
        object.__setattr__(self, "axes", _checked_axes("LearnedQueries", self.axes))

    def build(self, token_dims: Mapping[str, tuple[int, int]]) -> LearnedQueryArray:
        return LearnedQueryArray(self.dim, self.axes)


@dataclass(frozen=True)
class FourierQueries:
    """Fourier features of equally spaced positions from -1 to 1 along each axis of a grid.

    Args:
        axes: lengths of the grid's axes.
        num_freq_bands: bands per axis; an axis takes ``2 * num_freq_bands + 1`` channels.
        max_freq: sampling rate to resolve, one or one per axis; the highest band is half of it. Default: each axis'
            length, the highest rate that there is.
        freq_scale: ``"linear"`` (the paper) or ``"log"``.
        freq_base: base of the logarithmic spacing.
    """

    axes: Sequence[int]
    num_freq_bands: int
    max_freq: float | Sequence[float] | None = None
    freq_scale: str = "linear"
    freq_base: float = 2

    def __post_init__(self) -> None:
        axes = _checked_axes("FourierQueries", self.axes)
        if not axes:
            raise ValueError("FourierQueries need at least one axis; LearnedQueries may have none")
        given = self.max_freq
        rates = [float(max(n, 2)) for n in axes] if given is None else given
        rates = tuple(rates) if isinstance(rates, Sequence) else (rates,) * len(axes)
        if len(rates) != len(axes):
            raise ValueError(f"max_freq of FourierQueries must be a number or {len(axes)} of them, got {given!r}")
        for rate in rates:
            if _checks.number("max_freq of FourierQueries", rate) <= 0:
                raise ValueError(f"max_freq of FourierQueries must be positive, got {rate}")
        _checks.positive_int("num_freq_bands of FourierQueries", self.num_freq_bands, minimum=0)
        _checks.choice("freq_scale of FourierQueries", self.freq_scale, ("linear", "log"))
        object.__setattr__(self, "axes", axes)
        object.__setattr__(self, "max_freq", rates)

    def build(self, token_dims: Mapping[str, tuple[int, int]]) -> FourierQueryArray:
        assert isinstance(self.max_freq, tuple)
        return FourierQueryArray(self.axes, self.max_freq, self.num_freq_bands, self.freq_base, self.freq_scale)


@dataclass(frozen=True)
class InputQueries:
    """The tokens of an input modality: one output per token, asked for by what is there and where it is.

    Args:
        modality: name of the modality; its axes are those of the output.
        data: take the token's channels (scaled as the model reads them; zeros where a token is masked).
        positions: take its position features.
    """

    modality: str
    data: bool = True
    positions: bool = True

    def __post_init__(self) -> None:
        if not (self.data or self.positions):
            raise ValueError("InputQueries need data or positions, or both")

    def build(self, token_dims: Mapping[str, tuple[int, int]]) -> InputQueryArray:
        _checks.choice("modality of InputQueries", self.modality, tuple(token_dims))
        data, positions = token_dims[self.modality]
        array = InputQueryArray(self.modality, data * self.data, positions * self.positions)
        if not array.dim:
            raise ValueError(f"InputQueries({self.modality!r}) have no channel: this model encodes no positions")
        return array


@dataclass(frozen=True)
class GivenQueries:
    """Queries that the caller of a model brings along, ``queries=(batch, queries, dim)``.

    Args:
        dim: channels of a query.
    """

    dim: int

    def __post_init__(self) -> None:
        _checks.positive_int("dim of GivenQueries", self.dim)

    def build(self, token_dims: Mapping[str, tuple[int, int]]) -> GivenQueryArray:
        return GivenQueryArray(self.dim)


Queries = LearnedQueries | FourierQueries | InputQueries | GivenQueries
"""A spec of queries."""


def _checked_axes(of: str, axes: object) -> tuple[int, ...]:
    if isinstance(axes, str) or not isinstance(axes, Sequence):
        raise TypeError(f"axes of {of} must be a sequence of lengths, got {axes!r}")
    return tuple(_checks.positive_int(f"each of the axes of {of}", length) for length in axes)
