"""A target that is one of several classes."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from perceiver_pytorch._lazy import torch
from perceiver_pytorch.data.errors import listed
from perceiver_pytorch.data.targets import intervals
from perceiver_pytorch.data.targets.base import Baseline, Neglected, Target
from perceiver_pytorch.data.targets.confusion import confusion_sections
from perceiver_pytorch.data.targets.names import (
    check_counts,
    look_alike_warnings,
    probability_columns,
    set_columns,
    set_mark,
    sort_names,
)
from perceiver_pytorch.data.targets.report_parts import Answer, Section
from perceiver_pytorch.data.targets.scaling import ROUNDING, Fitted, fitted_scaling
from perceiver_pytorch.data.targets.sureness import sureness
from perceiver_pytorch.data.values import as_label, is_missing

if TYPE_CHECKING:
    from torch import Tensor

_MANY = 20  # more classes than this must come back: on average in two rows at least


@dataclass(frozen=True)
class ClassTarget(Target):
    """One of several classes; encoded as its index, -1 where unknown. The model gives a logit per class.

    Attributes:
        name: the column.
        classes: in string form, numbers first, by value, then the others as text.
        counts: train rows of each class.
    """

    classes: tuple[str, ...]
    counts: tuple[int, ...]

    kind: ClassVar[str] = "class"
    plural: ClassVar[str] = "classes"
    dtype: ClassVar[str] = "int64"
    titles: ClassVar[Mapping[str, str]] = {
        "accuracy": "accuracy",
        "balanced_accuracy": "balanced accuracy",
        "macro_f1": "macro F1",
        "auroc": "AUROC",
        "loss": "loss",
    }
    baseline: ClassVar[Baseline] = Baseline("majority class", "majority_accuracy", "accuracy")
    scores: ClassVar[tuple[str, ...]] = ("accuracy", "balanced_accuracy", "macro_f1", "auroc")

    def __post_init__(self) -> None:
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes must hold two or more different names, got {self.classes}")
        check_counts(self.counts, len(self.classes))

    @classmethod
    def recognises(cls, cells: Sequence[Any], separator: str | None) -> bool:
        """Always: it is asked last."""
        return True

    @classmethod
    def strata(cls, cells: Sequence[Any]) -> list[str] | None:
        return [as_label(cell) for cell in cells]

    @classmethod
    def groups(cls, cells: Sequence[Any], separator: str | None) -> list[tuple[str, ...]]:
        return [() if is_missing(cell) else (as_label(cell),) for cell in cells]

    @classmethod
    def fit(cls, name: str, cells: Sequence[Any], separator: str | None = None) -> "ClassTarget":
        counts = Counter(as_label(cell) for cell in cells)
        if len(counts) < 2:
            raise ValueError(f"has one value only in the train rows ({', '.join(counts)}); two classes are needed")
        if len(counts) > _MANY and 2 * len(counts) > len(cells):
            raise ValueError(
                f"has {len(counts)} different values in {len(cells)} train rows, too many for classes; "
                f"is it another kind (--target-kind {name}=number or labels), or no target at all?"
            )
        classes = tuple(sort_names(counts))
        return cls(name, classes, tuple(counts[label] for label in classes))

    def note(self) -> str:
        return f"{len(self.classes)} classes"

    def warnings(self) -> list[str]:
        return look_alike_warnings(self.name, self.classes, self.plural)

    @property
    def size(self) -> int:
        return len(self.classes)

    def encode(self, value: Any) -> np.ndarray:
        """int64 (): the index."""
        if is_missing(value):
            return self.unknown()
        index = self._index.get(as_label(value))
        if index is None:
            raise ValueError(
                f"the class {as_label(value)!r} is none of the train rows' classes ({listed(self.classes)})"
            )
        return np.array(index)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {label: i for i, label in enumerate(self.classes)}

    def loss(
        self, outputs: "Tensor", encoded: "Tensor", *, weights: "Tensor | None" = None, label_smoothing: float = 0.0
    ) -> "Tensor":
        """Cross-entropy."""
        return torch.nn.functional.cross_entropy(outputs, encoded, weight=weights, label_smoothing=label_smoothing)

    def balanced_weights(self) -> "Tensor | None":
        """Inverse to each class's number of rows, so that a class of average size weighs 1."""
        counts = torch.tensor(self.counts, dtype=torch.float32).clamp_min(1)
        return counts.sum() / (self.size * counts)

    def metrics(self, outputs: "Tensor", encoded: "Tensor") -> dict[str, Any]:
        """``accuracy``, ``balanced_accuracy``, ``macro_f1``, ``auroc``, ``loss`` (cross-entropy), ``majority_accuracy``
        and ``confusion``.

        ``balanced_accuracy`` is the mean, over the classes that some row has, of the share of its rows that are found.
        ``auroc`` is that of the second of two classes; of more, the mean of one against the rest.
        """
        from torchmetrics.functional.classification import multiclass_confusion_matrix, multiclass_f1_score

        chosen, counts = outputs.argmax(-1), encoded.bincount(minlength=self.size)
        found = encoded[chosen == encoded].bincount(minlength=self.size)
        return {
            "accuracy": float((chosen == encoded).float().mean()),
            "balanced_accuracy": float((found / counts)[counts > 0].mean()),
            "macro_f1": float(multiclass_f1_score(chosen, encoded, self.size, average="macro")),
            "auroc": _mean(_aurocs(outputs.softmax(-1), encoded).values()),
            "loss": float(torch.nn.functional.cross_entropy(outputs, encoded)),
            "majority_accuracy": float(counts.max() / counts.sum()),
            "confusion": multiclass_confusion_matrix(chosen, encoded, self.size).tolist(),
        }

    def score_name(self, balanced: bool = False) -> str:
        return "macro_f1" if balanced else "accuracy"

    def suited_score(self, balanced: bool = False) -> str:
        """Where one class has most of the train rows and another less than half an equal share, accuracy says little:
        it is high for whoever names the common one. AUROC needs no class to be predicted; of more than two, the mean
        over the classes shows all. Where none has most rows, accuracy is the steadier: rare classes have few rows, and
        their mean changes with each of them."""
        rows, common, rare = sum(self.counts), max(self.counts), min(self.counts)
        if balanced or 2 * common <= rows or 2 * self.size * rare >= rows:
            return self.score_name(balanced)
        return "auroc" if self.size == 2 else "balanced_accuracy"

    def without_inputs(self, metrics: Mapping[str, Any], name: str) -> float | None:
        """Of the most common class; of AUROC any that does not depend on the row."""
        there = sum(map(any, metrics["confusion"]))
        common = metrics["majority_accuracy"]
        known = {
            "accuracy": common,
            "balanced_accuracy": 1 / there,
            "macro_f1": 2 * common / (1 + common) / there,
            "auroc": 0.5,
        }
        return known.get(name)

    def counted(self) -> dict[str, int]:
        return dict(zip(self.classes, self.counts, strict=True))

    def neglected(self, metrics: Mapping[str, Any]) -> list[Neglected]:
        equal_share = sum(self.counts) / self.size
        rows = [sum(row) for row in metrics["confusion"]]
        found = [
            Neglected(name, count, rows[i])
            for i, (name, count) in enumerate(zip(self.classes, self.counts, strict=True))
            if rows[i] and not metrics["confusion"][i][i] and 2 * count < equal_share
        ]
        return sorted(found, key=lambda each: -each.train_rows)

    def intervals(self, metrics: Mapping[str, Any], outputs: "Tensor", encoded: "Tensor") -> dict[str, Any]:
        """Of every score."""
        confusion = np.array(metrics["confusion"])
        hits, rows, chosen = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
        there = np.flatnonzero(rows)
        recalls = [float(hits[i] / rows[i]) for i in there]
        areas = _aurocs(outputs.softmax(-1), encoded)
        some = np.flatnonzero(rows + chosen)
        f1s = [intervals.f1(hits[i], rows[i] + chosen[i] - 2 * hits[i]) for i in some]
        f1 = [float(2 * hits[i] / (rows[i] + chosen[i])) for i in some]
        found = {
            "accuracy": (intervals.wilson(metrics["accuracy"], len(encoded)), "Wilson"),
            "balanced_accuracy": (
                intervals.mean(recalls, [intervals.wilson(r, rows[i]) for r, i in zip(recalls, there, strict=True)]),
                "Wilson for each class, joined by MOVER",
            ),
            "macro_f1": (intervals.mean(f1, f1s), "Wilson for each class, joined by MOVER"),
            "auroc": (
                intervals.mean(
                    [*areas.values()], [intervals.auroc(a, rows[i], len(encoded) - rows[i]) for i, a in areas.items()]
                ),
                "Newcombe" if self.size == 2 else "Newcombe for each class, joined by MOVER",
            ),
        }
        return {name: intervals.stated(*interval) for name, interval in found.items()}

    def fitted(self, outputs: "Tensor", encoded: "Tensor", like: Fitted | None = None) -> Fitted:
        """Temperature scaling, or vector scaling."""
        return fitted_scaling(outputs, encoded, _losses, like)

    def sureness(self, outputs: "Tensor", encoded: "Tensor") -> dict[str, Any]:
        """Of the most probable class; the Brier score, summed over the classes, is halved where there are two."""
        probabilities = outputs.double().softmax(-1)
        stated, chosen = probabilities.max(-1)
        wrong = probabilities - torch.nn.functional.one_hot(encoded, self.size)
        brier = wrong.square().sum(-1) / (2 if self.size == 2 else 1)
        return sureness(stated, chosen == encoded, brier, _losses(outputs.double(), encoded))

    def misfits(self, values: np.ndarray, encoded: np.ndarray, fitted: Fitted) -> np.ndarray | None:
        """One minus the probability of the true class (Sadinle and others 2019, doi:10.1080/01621459.2017.1395341)."""
        return 1 - np.take_along_axis(values, encoded[:, None], 1)

    def regions(self, values: np.ndarray, limits: Sequence[float], fitted: Fitted) -> np.ndarray:
        """bool ``(rows, classes)``; the most probable class is always there."""
        return (1 - values <= limits[0] + ROUNDING) | (values == values.max(-1, keepdims=True))

    def holds(self, regions: np.ndarray, encoded: np.ndarray) -> np.ndarray:
        return np.take_along_axis(regions, encoded[:, None], 1)[:, 0]

    def region_sizes(self, regions: np.ndarray) -> np.ndarray:
        return regions.sum(-1).astype(np.float64)

    def region_columns(self, regions: np.ndarray) -> dict[str, Any]:
        """The classes, joined, and their number."""
        return set_columns(self.classes, regions, set_mark(self.classes))

    def absent(self, encoded: "Tensor") -> list[str]:
        counts = encoded.bincount(minlength=self.size).tolist()
        return [name for name, count in zip(self.classes, counts, strict=True) if not count]

    def values(self, outputs: "Tensor") -> "Tensor":
        """float ``(rows, classes)``: probabilities."""
        return outputs.softmax(-1)

    def columns(self, values: np.ndarray) -> dict[str, Any]:
        """The most probable class, and the probability of each."""
        chosen = [self.classes[i] for i in values.argmax(-1).tolist()]
        return {"prediction": chosen, **probability_columns(self.classes, values)}

    def answer(self, values: "Tensor", encoded: "Tensor | None") -> Answer:
        chosen = int(values.argmax())
        prediction = f"{self.classes[chosen]} ({100 * float(values[chosen]):.0f} %)"
        if encoded is None:
            return Answer(prediction)
        return Answer(prediction, self.classes[int(encoded)], chosen == int(encoded))

    def right(self, outputs: "Tensor", encoded: "Tensor") -> "Tensor | None":
        return outputs.argmax(-1) == encoded

    def row_losses(self, outputs: "Tensor", encoded: "Tensor") -> "Tensor":
        return torch.nn.functional.cross_entropy(outputs, encoded, reduction="none")

    def slices_of(self, encoded: "Tensor") -> list[str] | None:
        return [self.classes[i] for i in encoded.tolist()]

    def certainty(self, values: "Tensor") -> "Tensor | None":
        return values.amax(-1)

    def evidence(self, outputs: "Tensor", chosen: "Tensor") -> "Tensor":
        """The log-odds of the class against all others together."""
        others = outputs.scatter(-1, chosen[:, None], float("-inf")).logsumexp(-1)
        return super().evidence(outputs, chosen) - others

    def evidence_note(self, chosen: int) -> str:
        return f"log-odds of {self.classes[chosen]}"

    def sections(self, metrics: Mapping[str, Any], values: "Tensor", encoded: "Tensor", of: str) -> list[Section]:
        return confusion_sections(self.classes, np.array(metrics["confusion"]), of)


def _losses(logits: "Tensor", encoded: "Tensor") -> "Tensor":
    return torch.nn.functional.cross_entropy(logits, encoded, reduction="none")


def _aurocs(probabilities: "Tensor", classes: "Tensor") -> dict[int, float]:
    """{class: its AUROC against the rest}, of the classes that some of the rows have and some have not; of two classes
    the second's."""
    from torchmetrics.functional.classification import binary_auroc

    indices = [1] if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    return {
        i: float(binary_auroc(probabilities[:, i], is_it.long()))
        for i in indices
        if (is_it := classes == i).any() and not is_it.all()
    }


def _mean(values: Collection[float]) -> float | None:
    return sum(values) / len(values) if values else None
