"""A target of any number of labels at once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from perceiver_pytorch._lazy import torch
from perceiver_pytorch.data.errors import listed
from perceiver_pytorch.data.label_cells import find_separator, is_list_text, labels_of
from perceiver_pytorch.data.targets import intervals
from perceiver_pytorch.data.targets.base import Baseline, Neglected, Target
from perceiver_pytorch.data.targets.names import (
    check_counts,
    look_alike_warnings,
    probability_columns,
    set_columns,
    sort_names,
)
from perceiver_pytorch.data.targets.report_parts import Answer, Section
from perceiver_pytorch.data.targets.scaling import ROUNDING, Fitted, fitted_scaling
from perceiver_pytorch.data.targets.sureness import sureness
from perceiver_pytorch.data.values import readable

if TYPE_CHECKING:
    from torch import Tensor

_NEARLY_ALL = 0.95  # share of lists among the cells of a column of lists
_MAX_POS_WEIGHT = 100.0  # a label that one row in thousands has must not drown the others


@dataclass(frozen=True)
class LabelsTarget(Target):
    """Any number of labels at once; encoded as 0 or 1 for each label, NaN where unknown. The model gives logits.

    Attributes:
        name: the column.
        labels: in string form, sorted like classes.
        counts: train rows that have each label.
        rows: train rows with a value.
        separator: what stands between the labels of a text; empty where a text is one label.
    """

    labels: tuple[str, ...]
    counts: tuple[int, ...]
    rows: int
    separator: str

    kind: ClassVar[str] = "labels"
    plural: ClassVar[str] = "labels"
    titles: ClassVar[Mapping[str, str]] = {
        "map": "mAP",
        "micro_f1": "micro F1",
        "macro_f1": "macro F1",
        "loss": "loss",
    }
    baseline: ClassVar[Baseline] = Baseline("label frequencies", "baseline_map", "map")
    scores: ClassVar[tuple[str, ...]] = ("map", "micro_f1", "macro_f1")

    def __post_init__(self) -> None:
        if not self.labels or len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels must hold one or more different names, got {self.labels}")
        check_counts(self.counts, len(self.labels))
        if self.rows < max(self.counts):
            raise ValueError(f"rows must be at least {max(self.counts)}, got {self.rows}")

    @classmethod
    def recognises(cls, cells: Sequence[Any], separator: str | None) -> bool:
        """Lists, lists as text, or text with a separator whose parts come back in several combinations."""
        lists = sum(isinstance(cell, list | tuple) or is_list_text(cell) for cell in cells)
        if cells and lists >= _NEARLY_ALL * len(cells):
            return True
        if separator is not None and any(separator in cell for cell in cells if isinstance(cell, str)):
            return True
        return find_separator(cells) is not None

    @classmethod
    def groups(cls, cells: Sequence[Any], separator: str | None) -> list[tuple[str, ...]]:
        between = find_separator(cells) if separator is None else separator
        return [_labels(cell, between) for cell in cells]

    @classmethod
    def fit(cls, name: str, cells: Sequence[Any], separator: str | None = None) -> "LabelsTarget":
        between = find_separator(cells) if separator is None else separator
        found = readable(cells, lambda cell: labels_of(cell, between))
        counts = Counter(label for labels in found for label in labels)
        if not counts:
            raise ValueError(f"has no label in {len(found)} train rows")
        if len(counts) > len(found):
            raise ValueError(f"has {len(counts)} different labels in {len(found)} train rows, too many to learn")
        labels = tuple(sort_names(counts))
        return cls(name, labels, tuple(counts[label] for label in labels), len(found), between or "")

    def note(self) -> str:
        return f"{len(self.labels)} labels, {sum(self.counts) / self.rows:.1f} a row"

    def warnings(self) -> list[str]:
        return look_alike_warnings(self.name, self.labels, self.plural)

    @property
    def size(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.labels),)

    def encode(self, value: Any) -> np.ndarray:
        """float32 (labels,): 1 for the labels of the cell."""
        given = labels_of(value, self.separator or None)
        if given is None:
            return self.unknown()
        encoded = np.zeros(len(self.labels), dtype=np.float32)
        for label in given:
            if label not in self._index:
                raise ValueError(f"the label {label!r} is none of the train rows' labels ({listed(self.labels)})")
            encoded[self._index[label]] = 1
        return encoded

    @cached_property
    def _index(self) -> dict[str, int]:
        return {label: i for i, label in enumerate(self.labels)}

    def loss(
        self, outputs: "Tensor", encoded: "Tensor", *, weights: "Tensor | None" = None, label_smoothing: float = 0.0
    ) -> "Tensor":
        """Mean binary cross-entropy."""
        return torch.nn.functional.binary_cross_entropy_with_logits(outputs, encoded, pos_weight=weights)

    def balanced_weights(self) -> "Tensor | None":
        """What a row with the label weighs: the rows without it for each row with it, at most 100."""
        counts = torch.tensor(self.counts, dtype=torch.float32).clamp_min(1)
        return ((self.rows - counts) / counts).clamp(1 / _MAX_POS_WEIGHT, _MAX_POS_WEIGHT)

    def metrics(self, outputs: "Tensor", encoded: "Tensor") -> dict[str, Any]:
        """``map``, ``micro_f1``, ``macro_f1`` (at probability 0.5), ``loss``, ``baseline_map`` and ``per_label``."""
        from torchmetrics.functional.classification import multilabel_f1_score

        probabilities, truth = outputs.sigmoid(), encoded.long()
        per_label, there = self._per_label(probabilities, truth), truth.any(0)
        precisions = [row["average_precision"] for row in per_label if row["average_precision"] is not None]
        f1 = torch.tensor([row["f1"] for row in per_label])
        return {
            "map": _mean(precisions),
            "micro_f1": float(multilabel_f1_score(probabilities, truth, self.size, average="micro")),
            "macro_f1": float(f1[there].mean()) if there.any() else None,
            "loss": float(torch.nn.functional.binary_cross_entropy_with_logits(outputs, encoded)),
            "baseline_map": _mean(truth.float().mean(0)[there].tolist()),
            "per_label": per_label,
        }

    def _per_label(self, probabilities: "Tensor", truth: "Tensor") -> list[dict[str, Any]]:
        from torchmetrics.functional.classification import (
            binary_average_precision,
            multilabel_f1_score,
            multilabel_precision,
            multilabel_recall,
        )

        each: dict[str, Any] = {"zero_division": 0, "average": "none"}
        measured = {
            "f1": multilabel_f1_score(probabilities, truth, self.size, **each),
            "precision": multilabel_precision(probabilities, truth, self.size, **each),
            "recall": multilabel_recall(probabilities, truth, self.size, **each),
        }
        rows = []
        for i, label in enumerate(self.labels):
            there = truth[:, i]
            precision = float(binary_average_precision(probabilities[:, i], there)) if there.any() else None
            row = {"label": label, "rows": int(there.sum()), "average_precision": precision}
            rows.append(row | {name: float(values[i]) for name, values in measured.items()})
        return rows

    def score_name(self, balanced: bool = False) -> str:
        return "map"

    def counted(self) -> dict[str, int]:
        return dict(zip(self.labels, self.counts, strict=True))

    def neglected(self, metrics: Mapping[str, Any]) -> list[Neglected]:
        usual = sum(self.counts) / self.size
        found = [
            Neglected(name, count, row["rows"])
            for name, count, row in zip(self.labels, self.counts, metrics["per_label"], strict=True)
            if row["rows"] and not row["recall"] and 2 * count < usual
        ]
        return sorted(found, key=lambda each: -each.train_rows)

    def intervals(self, metrics: Mapping[str, Any], outputs: "Tensor", encoded: "Tensor") -> dict[str, Any]:
        """Of every score; an average precision is taken for a share of the rows that have the label (Boyd and others
        2013, doi:10.1007/978-3-642-40994-3_29)."""
        given, truth = outputs.sigmoid() >= 0.5, encoded > 0
        hits, misses = (given & truth).sum(0).tolist(), (given ^ truth).sum(0).tolist()
        there = [i for i, row in enumerate(metrics["per_label"]) if row["rows"]]
        labels = [metrics["per_label"][i] for i in there]
        precisions = [row["average_precision"] for row in labels]
        wide = [intervals.wilson(value, row["rows"]) for value, row in zip(precisions, labels, strict=True)]
        f1s = [intervals.f1(hits[i], misses[i]) for i in there]
        joined = "Wilson for each label, joined by MOVER"
        return {
            "map": intervals.stated(intervals.mean(precisions, wide), joined),
            "micro_f1": intervals.stated(intervals.f1(sum(hits), sum(misses)), "Wilson"),
            "macro_f1": intervals.stated(intervals.mean([row["f1"] for row in labels], f1s), joined),
        }

    def fitted(self, outputs: "Tensor", encoded: "Tensor", like: Fitted | None = None) -> Fitted:
        """One temperature, or a factor and a shift for each label (Platt 1999)."""
        return fitted_scaling(outputs, encoded, _losses, like)

    def sureness(self, outputs: "Tensor", encoded: "Tensor") -> dict[str, Any]:
        """Of every label of every row."""
        probabilities = outputs.double().sigmoid()
        brier = (probabilities - encoded).square().mean(-1)
        return sureness(probabilities.flatten(), encoded.flatten() > 0, brier, _losses(outputs.double(), encoded))

    def misfits(self, values: np.ndarray, encoded: np.ndarray, fitted: Fitted) -> np.ndarray | None:
        """One minus the probability of the least probable label that the row has; 0 where it has none."""
        return ((1 - values) * (encoded > 0)).max(-1, keepdims=True)

    def regions(self, values: np.ndarray, limits: Sequence[float], fitted: Fitted) -> np.ndarray:
        """bool ``(rows, labels)``: those that the row may have."""
        return 1 - values <= limits[0] + ROUNDING

    def holds(self, regions: np.ndarray, encoded: np.ndarray) -> np.ndarray:
        """Whether all labels of the row are in its set."""
        return np.all(regions | ~(encoded > 0), axis=-1)

    def region_sizes(self, regions: np.ndarray) -> np.ndarray:
        return regions.sum(-1).astype(np.float64)

    def region_columns(self, regions: np.ndarray) -> dict[str, Any]:
        """The labels, joined as in `columns`, and their number."""
        return set_columns(self.labels, regions, self._mark)

    def absent(self, encoded: "Tensor") -> list[str]:
        return self._chosen(~(encoded > 0).any(0).numpy())

    def values(self, outputs: "Tensor") -> "Tensor":
        """float ``(rows, labels)``: probabilities."""
        return outputs.sigmoid()

    def columns(self, values: np.ndarray) -> dict[str, Any]:
        """The labels of probability 0.5 or more, joined as in the train table (``|`` where that had lists), and the
        probability of each."""
        return {
            "prediction": [self._mark.join(self._chosen(row)) for row in values >= 0.5],
            **probability_columns(self.labels, values),
        }

    @property
    def _mark(self) -> str:
        """What stands between labels in a file of predictions."""
        return ", " if self.separator == "," else self.separator or "|"

    def answer(self, values: "Tensor", encoded: "Tensor | None") -> Answer:
        given = values >= 0.5
        prediction = self._text(given)
        if encoded is None:
            return Answer(prediction)
        return Answer(prediction, self._text(encoded > 0), bool((given == (encoded > 0)).all()))

    def row_losses(self, outputs: "Tensor", encoded: "Tensor") -> "Tensor":
        return torch.nn.functional.binary_cross_entropy_with_logits(outputs, encoded, reduction="none").mean(-1)

    def certainty(self, values: "Tensor") -> "Tensor | None":
        return (values - 0.5).abs().amin(-1)

    def evidence_note(self, chosen: int) -> str:
        return f"log-odds of {self.labels[chosen]}"

    def sections(self, metrics: Mapping[str, Any], values: "Tensor", encoded: "Tensor", of: str) -> list[Section]:
        columns = {"average_precision": "average precision", "precision": "precision", "recall": "recall", "f1": "F1"}
        rows = [
            [row["label"], str(row["rows"]), *("–" if row[key] is None else f"{row[key]:.3f}" for key in columns)]
            for row in sorted(metrics["per_label"], key=lambda row: -row["rows"])
        ]
        note = "Precision, recall and F1 take labels of probability 0.5 or more."
        return [Section(f"Labels{of}", header=("label", "rows", *columns.values()), rows=rows, note=note)]

    def _chosen(self, which: np.ndarray) -> list[str]:
        return [self.labels[i] for i in np.flatnonzero(which)]

    def _text(self, which: "Tensor") -> str:
        return ", ".join(self._chosen(which.numpy())) or "(none)"


def _losses(logits: "Tensor", encoded: "Tensor") -> "Tensor":
    losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, encoded.to(logits), reduction="none")
    return losses.mean(-1)


def _labels(cell: Any, separator: str | None) -> tuple[str, ...]:
    """Those of a cell; none of one that cannot be read, which is told when it is decoded."""
    try:
        return labels_of(cell, separator) or ()
    except ValueError:
        return ()


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
