"""What every kind of target says about itself."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from perceiver_pytorch._lazy import torch
from perceiver_pytorch.data.targets.report_parts import Answer, Section, interval_text
from perceiver_pytorch.data.targets.scaling import Fitted

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T", bound="Target")
Rows = TypeVar("Rows", np.ndarray, "Tensor")


@dataclass(frozen=True)
class Baseline:
    """What a kind of target is compared with: a prediction that reads no input.

    Attributes:
        what: what it predicts, for people.
        metric: its key in the metrics.
        measures: the one of `Target.titles` that it is a value of.
    """

    what: str
    metric: str
    measures: str


@dataclass(frozen=True)
class Neglected:
    """A class or label that a model never finds.

    Attributes:
        name: of the class or label.
        train_rows: how many it was learned from.
        rows: how many of the rows measured on have it.
    """

    name: str
    train_rows: int
    rows: int


@dataclass(frozen=True)
class Target(ABC):
    """A column to predict: what the train rows say about it, and everything that depends on its kind.

    A kind is a frozen dataclass in a file of its own. Its fields hold what was learned: text, numbers, booleans and
    tuples of these, which ``input_spec.json`` keeps. `perceiver_pytorch.data.targets` lists the kinds.

    Attributes:
        name: the column.
    """

    name: str

    kind: ClassVar[str]
    """Its name in ``input_spec.json``, in the metrics and for ``--target-kind``."""
    plural: ClassVar[str]
    """Several of the kind, for people."""
    dtype: ClassVar[str] = "float32"
    """Of an encoded cell: ``"float32"``, where NaN means unknown, or ``"int64"``, where -1 does."""
    titles: ClassVar[Mapping[str, str]]
    """{metric: its name for people}, of the metrics that are shown first."""
    baseline: ClassVar[Baseline]
    scores: ClassVar[tuple[str, ...]] = ()
    """Those of `titles` that may choose the best epoch (``--choose-by``) besides `score_name`."""

    # -- what is learned from a column

    @classmethod
    def recognises(cls, cells: Sequence[Any], separator: str | None) -> bool:
        """Whether a column without a given kind is of this one; by default only ``--target-kind`` chooses it.

        Args:
            cells: the column's cells that have a value.
            separator: what stands between the labels of a text, where it is given.
        """
        return False

    @classmethod
    def strata(cls, cells: Sequence[Any]) -> list[str] | None:
        """A group per cell, missing ones too, to draw validation rows from in proportion; None: from all alike."""
        return None

    @classmethod
    def groups(cls, cells: Sequence[Any], separator: str | None) -> list[tuple[str, ...]]:
        """Per cell its class, or its labels: train, validation and test rows should each have every one of them.

        Args:
            cells: the column's, missing ones too.
            separator: what stands between the labels of a text; None: what is recognised.
        """
        strata = cls.strata(cells)
        return [()] * len(cells) if strata is None else [(group,) for group in strata]

    @classmethod
    @abstractmethod
    def fit(cls: type[T], name: str, cells: Sequence[Any], separator: str | None = None) -> T:
        """Learns from the train rows.

        Args:
            name: the column.
            cells: the cells of the train rows that have a value, at least one.
            separator: what stands between the labels of a text; None: what is recognised.

        Raises:
            ValueError: if nothing can be learned. The message follows the column's name ("has one value only").
        """

    @abstractmethod
    def note(self) -> str:
        """What was learned, in a few words."""

    def warnings(self) -> list[str]:
        """Sentences about what was learned and may be meant otherwise."""
        return []

    # -- what a model is trained on

    @property
    @abstractmethod
    def size(self) -> int:
        """Outputs of a model."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an encoded cell."""
        return ()

    @abstractmethod
    def encode(self, value: Any) -> np.ndarray:
        """A cell as an array of `shape` and `dtype`; `unknown` where it is missing.

        Raises:
            ValueError: if it cannot be read, or the train rows had nothing like it. The message says no place.
        """

    def unknown(self) -> np.ndarray:
        """What stands for a missing value."""
        return np.full(self.shape, -1 if self._is_integer else np.nan, dtype=self.dtype)

    def known(self, encoded: Rows) -> Rows:
        """bool ``(rows,)``: where encoded cells ``(rows, *shape)`` have a value."""
        there: Any = encoded >= 0 if self._is_integer else encoded == encoded
        return there if there.ndim == 1 else there.reshape(len(there), -1).all(1)

    @property
    def _is_integer(self) -> bool:
        return self.dtype.startswith("int")

    @abstractmethod
    def loss(
        self, outputs: "Tensor", encoded: "Tensor", *, weights: "Tensor | None" = None, label_smoothing: float = 0.0
    ) -> "Tensor":
        """The mean loss over rows with a known target.

        Args:
            outputs: float ``(rows, size)``, of the model.
            encoded: ``(rows, *shape)``.
            weights: `balanced_weights` where the run asks for them.
            label_smoothing: of the run; for kinds with classes.
        """

    def balanced_weights(self) -> "Tensor | None":
        """What `loss` takes to make up for skewed train rows, float32; None: the kind has no such weights."""
        return None

    # -- how good a model is

    def measured(self, outputs: "Tensor", encoded: "Tensor") -> dict[str, Any]:
        """``kind``, ``rows`` (with a known target) and `metrics`.

        Args:
            outputs: float ``(rows, size)``, of the model.
            encoded: ``(rows, *shape)``; rows where it is unknown do not count.

        Raises:
            ValueError: if no row has a known target.
        """
        keep = self.known(encoded)
        if not keep.any():
            raise ValueError(f"no row has a {self.name!r} that the model knows; there is nothing to measure against")
        outputs, encoded = outputs[keep].float(), encoded[keep]
        return {"kind": self.kind, "rows": len(encoded), **self.metrics(outputs, encoded)}

    @abstractmethod
    def metrics(self, outputs: "Tensor", encoded: "Tensor") -> dict[str, Any]:
        """JSON values, those of `titles` and `baseline` among them; None for what these rows cannot say.

        Args:
            outputs: float32 ``(rows, size)``, of the model.
            encoded: ``(rows, *shape)``, all known.
        """

    @abstractmethod
    def score_name(self, balanced: bool = False) -> str:
        """The one of `titles` that chooses the best epoch: larger is better, 1 is perfect.

        Args:
            balanced: classes count alike instead of rows (``--class-weights balanced``).
        """

    def suited_score(self, balanced: bool = False) -> str:
        """The one of `scores` that suits the train rows: `score_name`, or another where their classes are skewed."""
        return self.score_name(balanced)

    def score(self, metrics: Mapping[str, Any], name: str) -> float:
        """The value of the metric ``name``; 0 where these rows have none."""
        return metrics[name] or 0.0

    def without_inputs(self, metrics: Mapping[str, Any], name: str) -> float | None:
        """What the metric ``name`` would be of a prediction that reads no input; None where that is not known.

        Args:
            metrics: of `measured`, on the same rows.
            name: one of `titles`.
        """
        return metrics[self.baseline.metric] if name == self.baseline.measures else None

    def counted(self) -> dict[str, int]:
        """{class or label: its train rows}; empty for a kind that has none."""
        return {}

    def neglected(self, metrics: Mapping[str, Any]) -> list[Neglected]:
        """The classes or labels that are rare among the train rows and that the model finds in none of these rows,
        though some have them; the commonest first."""
        return []

    def intervals(self, metrics: Mapping[str, Any], outputs: "Tensor", encoded: "Tensor") -> dict[str, Any]:
        """{metric: `stated` interval}, of the metrics that have one.

        Args:
            metrics: of `measured`.
            outputs: float32 ``(rows, size)``, of the model.
            encoded: ``(rows, *shape)``, all known.
        """
        return {}

    # -- how sure a model may be

    def fitted(self, outputs: "Tensor", encoded: "Tensor", like: Fitted | None = None) -> Fitted:
        """What calibrates the outputs, learned from rows that the model was not trained on; by default nothing does.

        Args:
            outputs: float32 ``(rows, size)``, of the model.
            encoded: ``(rows, *shape)``, all known.
            like: the same method is used; None: the one that does best.
        """
        return Fitted()

    def sureness(self, outputs: "Tensor", encoded: "Tensor") -> dict[str, Any]:
        """How far probabilities can be believed: `perceiver_pytorch.data.targets.sureness`; empty without any.

        Args:
            outputs: float32 ``(rows, size)``, calibrated or not.
            encoded: ``(rows, *shape)``, all known.
        """
        return {}

    def misfits(self, values: np.ndarray, encoded: np.ndarray, fitted: Fitted) -> np.ndarray | None:
        """By how much the truth is missed, ``(rows, sides)``; None, as by default: the kind has no sets.

        Args:
            values: of `values`, of calibrated outputs.
            encoded: ``(rows, *shape)``, all known.
            fitted: what they were calibrated by.
        """
        return None

    def regions(self, values: np.ndarray, limits: Sequence[float], fitted: Fitted) -> np.ndarray:
        """``(rows, ..)``: the sets, or intervals, of everything that is missed by no more than the limits.

        Args:
            values: of `values`, of calibrated outputs.
            limits: the largest misfit per side.
            fitted: what they were calibrated by.
        """
        raise NotImplementedError

    def holds(self, regions: np.ndarray, encoded: np.ndarray) -> np.ndarray:
        """bool ``(rows,)``: which of `regions` have the truth ``(rows, *shape)`` in them, all known."""
        raise NotImplementedError

    def region_sizes(self, regions: np.ndarray) -> np.ndarray:
        """float64 ``(rows,)``: how large `regions` are: names in a set, or the width of an interval."""
        raise NotImplementedError

    def region_columns(self, regions: np.ndarray) -> dict[str, Any]:
        """{column of a file of predictions: its cells}, of `regions`."""
        raise NotImplementedError

    def absent(self, encoded: "Tensor") -> list[str]:
        """The classes or labels that none of the rows ``(rows, *shape)`` has, all known."""
        return []

    def line(self, metrics: Mapping[str, Any]) -> str:
        """The metrics and the baseline's, for the terminal."""
        found = metrics.get("intervals", {})
        shown = [
            f"{title} {metrics[key]:.4g}{interval_text(found.get(key))}"
            for key, title in self.titles.items()
            if metrics.get(key) is not None
        ]
        value = metrics[self.baseline.metric]
        compared = f"{self.baseline.what}: {self.titles[self.baseline.measures]}"
        beside = "" if value is None else f" ({compared} {value:.4g})"
        return f"{self.name}: {', '.join(shown)} on {metrics['rows']:,} rows{beside}"

    # -- what a person is shown

    @abstractmethod
    def values(self, outputs: "Tensor") -> "Tensor":
        """``(rows, ..)``: outputs, float32 ``(rows, size)``, as what they mean: probabilities, or values in a unit."""

    @abstractmethod
    def columns(self, values: np.ndarray) -> dict[str, Any]:
        """{column of a file of predictions: its cells}, ``prediction`` first. It needs no PyTorch: models that were
        exported predict without.

        Args:
            values: of `values`, as an array.
        """

    @abstractmethod
    def answer(self, values: "Tensor", encoded: "Tensor | None") -> Answer:
        """What was predicted for one row and what is true, in words.

        Args:
            values: the row's of `values`.
            encoded: ``shape``, of the row; None where it is unknown.
        """

    def right(self, outputs: "Tensor", encoded: "Tensor") -> "Tensor | None":
        """bool ``(rows,)``: which answers are right, so that the report shows some that are wrong; None: no yes or no.

        Args:
            outputs: float32 ``(rows, size)``, of the model.
            encoded: ``(rows, *shape)``, known or not.
        """
        return None

    # -- which rows the report looks at more closely

    row_score: ClassVar[str] = "share of right answers"
    """What the mean of `row_scores` is, for people."""

    def row_losses(self, outputs: "Tensor", encoded: "Tensor") -> "Tensor":
        """float ``(rows,)``: how wrong each answer is; by default `loss` of the row alone.

        Args:
            outputs: float32 ``(rows, size)``, of the model.
            encoded: ``(rows, *shape)``, all known.
        """
        return torch.stack([self.loss(outputs[i : i + 1], encoded[i : i + 1]) for i in range(len(encoded))])

    def row_scores(self, outputs: "Tensor", encoded: "Tensor") -> "Tensor":
        """float ``(rows,)``: a figure of each row that means are taken of; by default 1 for a right answer, else 0.

        Args:
            outputs, encoded: as in `row_losses`.
        """
        right = self.right(outputs, encoded)
        return self.row_losses(outputs, encoded) if right is None else right.float()

    def slices_of(self, encoded: "Tensor") -> list[str] | None:
        """The part of the rows that each of ``(rows, *shape)``, all known, belongs to; None: of none."""
        return None

    def certainty(self, values: "Tensor") -> "Tensor | None":
        """float ``(rows,)``: how sure each answer of `values` is; None: the kind does not say."""
        return None

    # -- what of its outputs maps explain

    def chosen(self, outputs: "Tensor") -> "Tensor":
        """int64 ``(rows,)``: which of the outputs ``(rows, size)`` a map of each row is about; the largest."""
        return outputs.argmax(-1)

    def evidence(self, outputs: "Tensor", chosen: "Tensor") -> "Tensor":
        """``(rows,)``: how much speaks for what was chosen, in the unit of `evidence_note`; by default the output.

        Args:
            outputs: float ``(rows, size)``, of the model.
            chosen: of `chosen`.
        """
        return outputs.gather(-1, chosen[:, None]).squeeze(-1)

    def evidence_note(self, chosen: int) -> str:
        """What `evidence` is, for people."""
        return f"output {chosen}"

    def sections(self, metrics: Mapping[str, Any], values: "Tensor", encoded: "Tensor", of: str) -> list[Section]:
        """What the report shows besides the metrics of `titles`.

        Args:
            metrics: of `measured`.
            values: of `values`.
            encoded: ``(rows, *shape)``, known or not.
            of: what a heading ends with to tell several targets apart; empty for the only one.
        """
        return []
