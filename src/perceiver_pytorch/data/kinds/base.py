"""What every kind of column has: a `Kind` that recognises columns and learns from them, and what it learns.

A kind of your own is one file: a `ModalitySpec` that turns cells into arrays, and a `Kind` that learns it from the
train rows. docs/extending/kind.md builds one step by step.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from perceiver_pytorch._checks import within
from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch._settings import Settings as Settings
from perceiver_pytorch._settings import knob as knob  # both are handed on, to declare the options of a kind
from perceiver_pytorch.data import map_drawing
from perceiver_pytorch.data.cells import Where
from perceiver_pytorch.data.column import Column
from perceiver_pytorch.data.fields import Field as Field
from perceiver_pytorch.data.kinds.long_cells import RowPieces
from perceiver_pytorch.data.kinds.stems import strides_of
from perceiver_pytorch.data.losses import Change
from perceiver_pytorch.data.map_pieces import blocks
from perceiver_pytorch.data.oddities import Oddity
from perceiver_pytorch.data.train_rows import TrainRows

if TYPE_CHECKING:
    from torch import Tensor

MAX_TEXT = 300  # characters of a cell that the report shows
CUT = "lost their end: they are longer than the model reads"
CLIPPED = "lie partly outside what the train rows had, or over 10 deviations from their mean, and were clipped"

MASK, BLANK = "mask", "blank"
"""How a part of an input is hidden: its tokens are masked, or its values are made `ModalitySpec.blank`."""

Part = dict[str, str]
"""How the report shows something: ``kind`` (image, audio, drawing or text), ``name``, and ``value``, which is a data
URI, an SVG, or text."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """One modality of one row as an array, as long as the cell is: batches pad it.

    Attributes:
        values: (*axes, channels), or (*axes,) for ids; an axis may be shorter than the modality's.
        mask: bool (*axes), True where a token is real; None if all are.
        coordinates: per axis None, or float32 (length,) or (length, count) where the spec's `own_coordinates` says so.
        changes: what was done to the cells to make them fit: keys of the spec's `changes`, or a `Change`, which names
            the column and the cell, too.
        unusual: what about the cells is unlike the train rows.
        pieces: all of it, of a cell that is too long for memory; ``values`` are its beginning then.
    """

    values: "np.ndarray"
    mask: "np.ndarray | None" = None
    coordinates: "tuple[np.ndarray | None, ...] | None" = None
    changes: "tuple[str | Change, ...]" = ()
    unusual: tuple[Oddity, ...] = ()
    pieces: RowPieces | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, and of the file that pieces are read from where it is in memory."""
        held = [self.values, self.mask, *(self.coordinates or ()), self.pieces]
        return sum(each.nbytes for each in held if each is not None)


@dataclass(frozen=True)
class ModelInput:
    """What the model is told about a modality.

    Attributes:
        num_axes: token axes.
        channels: values per token; 1 of ids.
        resolution: places along an axis that the position encoding tells apart.
        coordinates_per_axis: numbers that place a token along each axis.
        scale, offset: a value is read as `value * scale + offset`.
        vocab_size: number of ids that the model looks up in an embedding; 0 of values.
        stem: configuration of the stem that makes tokens of the values (``{"name": .., **arguments}``, see
            `perceiver_pytorch.nn.stems`); None: the values, or the embedded ids, are the tokens.
    """

    num_axes: int
    channels: int
    resolution: float
    coordinates_per_axis: tuple[int, ...]
    scale: float = 1.0
    offset: float = 0.0
    vocab_size: int = 0
    stem: Mapping[str, Any] | None = None


class ModalitySpec:
    """One modality: what was learned about its columns, and how a row's cells become its array.

    Subclasses are frozen dataclasses. Their fields are strings, booleans, numbers and tuples of them, since they are
    kept as JSON in the run folder; a field that is added later needs a default, so that older runs can be read.
    """

    kind: ClassVar[str]
    """The kind by which a run folder names the class; that of its `Kind`."""
    dtype: ClassVar[str] = "float32"
    """dtype of the batch: `"float32"`; `"uint8"`, which the model reads from -1 to 1; or `"int64"` for ids."""
    changes: ClassVar[Mapping[str, str]] = {}
    """What may be done to a cell to make it fit, as it reads after "12 of 80 rows: cells of 'photo' "."""
    harmless: ClassVar[frozenset[str]] = frozenset()
    """Those of `changes` that lose nothing: they are told, but not warned of."""
    head: ClassVar[str] = "pooled"
    """Which of `perceiver_pytorch.nn.heads` answers from the modality alone; "columns": one for all of that name."""
    hidden_by: ClassVar[str] = MASK
    """How maps hide a part of a row: `MASK`, or `BLANK` where a hole would be a sign of its own."""
    in_common: ClassVar[str | None] = None
    """A field that several modalities of a table may have alike, and that is long: a run folder has it once."""

    name: str
    """The modality's name."""
    columns: tuple[str, ...]
    """The table columns that it is made of."""

    @property
    def axes(self) -> tuple[int, ...]:
        """Lengths of the token axes, at most."""
        raise NotImplementedError

    @property
    def held_axes(self) -> tuple[int, ...]:
        """Lengths of the axes, at most, of what is in memory at a time; less than `axes` where cells may have
        `Encoded.pieces`."""
        return self.axes

    @property
    def channels(self) -> int:
        """Values per token; 1 of ids."""
        raise NotImplementedError

    def encode(self, row: Mapping[str, Any], where: Where) -> Encoded | None:
        """A row's array, None where its cells are missing.

        Args:
            row: {column: cell}, with the spec's columns at least.
            where: the row, for messages and for files that cells lead to.

        Raises:
            DataError: a cell cannot be read; `where.error` makes one.
        """
        raise NotImplementedError

    def note(self) -> str:
        """What was learned from the train rows, in a few words."""
        raise NotImplementedError

    @property
    def vocab_size(self) -> int:
        """Number of ids; 0 where tokens are values."""
        return 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row's array: `(*axes, channels)`, or `axes` for ids."""
        return self.axes if self.vocab_size else (*self.axes, self.channels)

    @property
    def num_tokens(self) -> int:
        """The product of `axes`."""
        return math.prod(self.axes)

    @property
    def resolution(self) -> float:
        """How many places along an axis the position encoding tells apart."""
        return float(max(self.axes))

    @property
    def own_coordinates(self) -> tuple[int, ...]:
        """Per axis how many coordinates a token brings itself, 0 where `grid` places it."""
        return (0,) * len(self.axes)

    def grid(self, axis: int) -> "np.ndarray | None":
        """float32 (axes[axis],): where the tokens of an axis are; None: equally spaced from -1 to 1."""
        return None

    @property
    def shared(self) -> bool:
        """Whether equal cells are decoded once for all rows; it needs a single column."""
        return len(self.columns) == 1

    @property
    def seconds(self) -> float:
        """Length of a time axis that can be shared with other modalities (the field `clock`); 0: there is none."""
        return 0.0

    @property
    def stem_config(self) -> Mapping[str, Any] | None:
        """The config of the stem that reads the modality before the model; None: none."""
        return None

    def model_input(self) -> ModelInput:
        """What the model is told about the modality."""
        scale, offset = (2 / 255, -1.0) if self.dtype == "uint8" else (1.0, 0.0)
        own = tuple(max(1, count) for count in self.own_coordinates)
        stem = self.stem_config
        resolution = self.resolution / min(strides_of(stem, len(self.axes)))
        return ModelInput(len(self.axes), self.channels, resolution, own, scale, offset, self.vocab_size, stem)

    def augmented(self, values: "Tensor", mask: "Tensor | None", settings: Any) -> "Tensor":
        """A batch's values changed at random in a way that leaves the targets true; by default as they are.

        Args:
            values: (batch, *axes, channels) or (batch, *axes), of `dtype`.
            mask: bool (batch, *axes), True where a token is real; None if all are.
            settings: has the knobs of the kind's `augmentation`.

        Returns:
            A tensor of the same shape and dtype. Random numbers come from PyTorch's generator alone, so that a resumed
            run repeats them.
        """
        return values

    def example(self, encoded: Encoded, row: Mapping[str, Any]) -> list[Part]:
        """How the report shows a row: what the model saw of it; by default the cells as text."""
        return [{"kind": "text", "name": name, "value": _shortened(row[name])} for name in self.columns]

    # -- maps: what of a row counts for an answer

    def blank(self, values: "Tensor", mask: "Tensor | None") -> "Tensor":
        """What stands for nothing in place of values: maps say what is different from it; by default zeros.

        Args:
            values: float (batch, *axes, channels).
            mask: bool (batch, *axes), True where a token is real; None if all are.

        Returns:
            A tensor that broadcasts to the shape of the values.
        """
        return values.new_zeros(())

    def pieces(self, encoded: Encoded, most: int) -> "np.ndarray":
        """int (*axes), or (*axes, channels): the number of the piece that each token or value belongs to, -1 for none.
        Pieces are hidden as a whole: words, patches, segments; by default blocks, `most` at most.
        """
        return blocks(self.token_axes(encoded), most)

    def token_axes(self, encoded: Encoded) -> tuple[int, ...]:
        """The lengths of a row's axes."""
        return encoded.values.shape[: len(self.axes)]

    def on_grid(self, values: "np.ndarray") -> "np.ndarray":
        """A map on the input's own grid (pixels, samples, steps); by default one value per token.

        Args:
            values: float (*axes), or (*axes, channels).
        """
        return values.sum(-1) if values.ndim > len(self.axes) else values

    def draw_map(self, encoded: Encoded, heat: "np.ndarray", row: Mapping[str, Any], where: Where) -> list[Part]:
        """How a map is shown on its input; it has to be readable without colours. By default a bar per token.

        Args:
            encoded: what the model read of the row.
            heat: of `on_grid`; above 0 speaks for the answer.
            row: {column: cell}.
            where: the row, for files that cells lead to.
        """
        return [{"kind": "drawing", "name": self.name, "value": map_drawing.tokens(heat)}]

    sliced: ClassVar[bool] = False
    """Whether the report tells scores by parts of its columns: `slices_of`."""

    def slices_of(self, column: str, cells: Sequence[Any]) -> list[str | None]:
        """The part of the rows that each of a column's cells belongs to; None: of none."""
        return [None] * len(cells)

    @property
    def file_columns(self) -> tuple[str, ...]:
        """Columns whose cells may lead to files: a change of those makes another table."""
        return ()

    @property
    def files(self) -> tuple[str, ...]:
        """Further files that the cells are read from, relative to the table's folder."""
        return ()

    def fields(self) -> tuple[Field, ...]:
        """What can be given for each of its columns where a row does not come from a table; by default text."""
        return tuple(Field(name, example="some words") for name in self.columns)

    def uploaded(self) -> "ModalitySpec":
        """The same modality for rows that are sent: its cells hold all there is to read. By default itself."""
        return self

    def token_options(self) -> dict[str, Any]:
        """The options of the kind that decide what a token's channels mean: a model that starts from another run's
        weights takes them over from that run."""
        return {}

    def fewer_tokens(self) -> dict[str, Any]:
        """Options of the kind by which a cell would have clearly fewer tokens; empty where there are none."""
        return {}

    def in_memory(self) -> dict[str, float]:
        """Options of the kind by which no cell is read in pieces, since they all end before; empty where none is."""
        return {}

    def layout(self) -> dict[str, Any]:
        """What is needed to put a cell together again from its tokens: a published model cuts it in its own way."""
        return {}

    def id_meanings(self) -> Sequence[Hashable] | None:
        """What each id means, where that differs from table to table: another run's embedding of an id is found by it.
        Of numbers, which column each of the stem's weights belongs to. None: they mean the same everywhere."""
        return None


class Kind:
    """A kind of column: how to recognise one, what can be said about it, and what is learned from it.

    One instance per kind is listed in `perceiver_pytorch.data.kinds`, or named by an entry point `perceiver.kinds`.
    """

    name: ClassVar[str]
    """As in `--column NAME=KIND`."""
    spec: ClassVar[type[ModalitySpec] | None] = None
    """The class of what is learned; None of a kind that learns those of other kinds."""
    other_specs: ClassVar[tuple[type[ModalitySpec], ...]] = ()
    """Further classes of what it may learn, each with a `kind` of its own."""
    settings: ClassVar[type[Settings]] = Settings
    """The kind's options, as in `--set data.OPTION=VALUE`: a frozen dataclass of knobs."""
    augmentation: ClassVar[type[Settings]] = Settings
    """Its knobs of random changes, as in `--set augment.KNOB=VALUE`."""
    together: ClassVar[bool] = False
    """All columns of the kind make one modality, instead of each its own."""
    plain: ClassVar[bool] = False
    """Cells are plain values (words, numbers, dates): a warning tells where one gives the target away."""

    def recognises(self, column: Column) -> bool:
        """Whether a column looks like one of this kind. Kinds are asked in turn; by default one is chosen by hand."""
        return False

    def learn(self, columns: Sequence[str], rows: TrainRows) -> list[ModalitySpec]:
        """What the train rows say about a column, or about all columns of the kind if they go together.

        Raises:
            DataError: nothing can be learned; the message names the column.
        """
        raise NotImplementedError

    def reads_beside(self, column: str, options: Any) -> tuple[str, ...]:
        """Further columns that one of this kind is read with: they are no inputs of their own."""
        return ()

    def left_unread(self, column: str, rows: TrainRows) -> str | None:
        """What a column of this kind has that is not read, and how it can be, as a hint; None: nothing."""
        return None


class ColumnSpec(ModalitySpec):
    """A modality of one column, which has its name."""

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        return (self.name,)


@dataclass(frozen=True)
class StandardisedSpec(ModalitySpec):
    """Several columns of one kind as tokens `(number of columns, channels)`, standardised.

    Attributes:
        name: the modality's name.
        columns: the columns, in token order.
        means, stds: what each column is standardised by.
    """

    name: str
    columns: tuple[str, ...]
    means: tuple[float, ...]
    stds: tuple[float, ...]

    changes: ClassVar[Mapping[str, str]] = {"clipped": CLIPPED}
    hidden_by: ClassVar[str] = BLANK

    def __post_init__(self) -> None:
        if not len(self.columns) == len(self.means) == len(self.stds) > 0:
            raise ValueError("means and stds must have one number per column")
        for std in self.stds:
            within("each of stds", std, above=0)

    @property
    def axes(self) -> tuple[int, ...]:
        return (len(self.columns),)

    @property
    def shared(self) -> bool:
        return False  # their combinations hardly repeat

    def id_meanings(self) -> Sequence[Hashable]:
        """The columns: each has weights of its own."""
        return self.columns

    def pieces(self, encoded: Encoded, most: int) -> "np.ndarray":
        """A column each."""
        return np.arange(len(self.columns))

    def draw_map(self, encoded: Encoded, heat: "np.ndarray", row: Mapping[str, Any], where: Where) -> list[Part]:
        drawn = map_drawing.columns(self.columns, heat, row)
        return [{"kind": "drawing", "name": self.name, "value": drawn}]


def check_positive(spec: Any, *names: str) -> None:
    """Raise `ValueError` unless the named fields are above 0."""
    for name in names:
        within(name, getattr(spec, name), above=0)


def _shortened(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"
