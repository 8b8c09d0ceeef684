"""What a model's outputs are worth, by kind of target, with a baseline that knows no input beside each."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional import mean_absolute_error, mean_squared_error, r2_score
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_average_precision,
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multilabel_f1_score,
    multilabel_precision,
    multilabel_recall,
)

from perceiver_pytorch.data import ClassTarget, LabelsTarget, NumberTarget, TargetSpec

SCORES = {"class": "accuracy", "labels": "map", "number": "r2"}
"""The metric of each kind of target that chooses the best epoch; larger is better."""

TITLES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "auroc": "AUROC",
    "map": "mAP",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R²",
    "loss": "loss",
    "score": "score",
}
"""How metrics are called in messages and reports."""

HEADLINES = {
    "class": ("accuracy", "macro_f1", "auroc", "loss"),
    "labels": ("map", "micro_f1", "macro_f1", "loss"),
    "number": ("mae", "rmse", "r2"),
}
"""The metrics of each kind that are shown first."""

BASELINES = {
    "class": ("majority class", "majority_accuracy", "accuracy"),
    "labels": ("label frequencies", "baseline_map", "mAP"),
    "number": ("mean of the train rows", "baseline_mae", "MAE"),
}
"""Of each kind: what the baseline predicts, its key in the metrics, and what that measures."""


def known(target: TargetSpec, encoded: Tensor) -> Tensor:
    """bool ``(rows,)``: where a target is known, of ``(rows, ..)`` encoded ones."""
    if isinstance(target, ClassTarget):
        return encoded >= 0
    return ~encoded.isnan().flatten(1).any(1) if encoded.dim() > 1 else ~encoded.isnan()


def target_metrics(target: TargetSpec, outputs: Tensor, encoded: Tensor) -> dict[str, Any]:
    """The metrics of one target.

    Args:
        target: what it is.
        outputs: ``(rows, size)``, logits of classes or labels, or standardised numbers.
        encoded: of the rows as in a `Batch`; rows where it is unknown do not count.

    Returns:
        ``kind``, ``rows`` (with a known target) and, for classes: ``accuracy``, ``macro_f1``, ``auroc`` (of the second
        of two classes; of more, the mean of one against the rest), ``loss`` (cross-entropy), ``majority_accuracy`` and
        ``confusion``; for labels: ``map``, ``micro_f1``, ``macro_f1`` (at probability 0.5), ``loss``, ``baseline_map``
        and ``per_label``; for numbers, in their unit: ``mae``, ``rmse``, ``r2``, ``baseline_mae``, ``baseline_rmse``.
        What cannot be said of these rows is None.

    Raises:
        ValueError: no row has a known target.
    """
    keep = known(target, encoded)
    if not keep.any():
        raise ValueError(f"no row has a {target.name!r} that the model knows; there is nothing to measure against")
    outputs, encoded = outputs[keep].float(), encoded[keep]
    if isinstance(target, ClassTarget):
        values = _class_metrics(target, outputs, encoded)
    elif isinstance(target, LabelsTarget):
        values = _labels_metrics(target, outputs, encoded)
    else:
        values = _number_metrics(target, outputs[:, 0], encoded)
    return {"kind": target.kind, "rows": len(encoded), **values}


def score_name(targets: Sequence[TargetSpec], balanced: bool = False) -> str:
    """The metric that chooses the best epoch: that of the one target's kind, or ``score`` of several targets.

    Args:
        balanced: classes count alike (macro F1) instead of rows (accuracy).
    """
    if len(targets) > 1:
        return "score"
    return _score_key(targets[0].kind, balanced)


def score(targets: Sequence[TargetSpec], metrics: Mapping[str, Mapping[str, Any]], balanced: bool = False) -> float:
    """One figure, larger is better: accuracy (balanced: macro F1), mAP or R² of one target.

    Of several targets the mean of theirs, each within 0 and 1, over those that have a known row.
    """
    values = [_score(target, metrics[target.name], balanced) for target in targets if target.name in metrics]
    if len(targets) == 1:
        return values[0]
    return sum(min(max(value, 0.0), 1.0) for value in values) / len(values)


def metric_lines(targets: Sequence[TargetSpec], metrics: Mapping[str, Any]) -> list[str]:
    """A line per target that was measured, for people: its metrics, and its baseline's."""
    tasks = metrics.get("tasks") or {targets[0].name: metrics}
    lines = []
    for name, values in tasks.items():
        kind = values["kind"]
        shown = [f"{TITLES[key]} {values[key]:.4g}" for key in HEADLINES[kind] if values[key] is not None]
        what, key, measured = BASELINES[kind]
        baseline = f" ({what}: {measured} {values[key]:.4g})" if values[key] is not None else ""
        lines.append(f"{name}: {', '.join(shown)} on {values['rows']:,} rows{baseline}")
    return lines


def modality_lines(metrics: Mapping[str, Any]) -> list[str]:
    """A line per modality, for people: the score without it and with it alone."""
    title = TITLES[metrics["score_name"]]
    return [
        f"  {name}: {title} {values['without']:.4f} without it, {values['alone']:.4f} with it alone"
        for name, values in metrics["modalities"].items()
    ]


def _score(target: TargetSpec, metrics: Mapping[str, Any], balanced: bool) -> float:
    value = metrics[_score_key(target.kind, balanced)]
    if value is None and isinstance(target, NumberTarget):  # of one row, or of equal ones: against the train rows
        return 1 - (metrics["rmse"] / target.std) ** 2
    return value or 0.0


def _score_key(kind: str, balanced: bool) -> str:
    return "macro_f1" if kind == "class" and balanced else SCORES[kind]


def _class_metrics(target: ClassTarget, logits: Tensor, classes: Tensor) -> dict[str, Any]:
    chosen, counts = logits.argmax(-1), classes.bincount(minlength=target.size)
    return {
        "accuracy": float((chosen == classes).float().mean()),
        "macro_f1": float(multiclass_f1_score(chosen, classes, target.size, average="macro")),
        "auroc": _auroc(logits.softmax(-1), classes),
        "loss": float(F.cross_entropy(logits, classes)),
        "majority_accuracy": float(counts.max() / counts.sum()),
        "confusion": multiclass_confusion_matrix(chosen, classes, target.size).tolist(),
    }


def _auroc(probabilities: Tensor, classes: Tensor) -> float | None:
    """Of the classes that some of the rows have and some have not."""
    indices = [1] if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    areas = [
        float(binary_auroc(probabilities[:, i], is_it.long()))
        for i in indices
        if (is_it := classes == i).any() and not is_it.all()
    ]
    return sum(areas) / len(areas) if areas else None


def _labels_metrics(target: LabelsTarget, logits: Tensor, labels: Tensor) -> dict[str, Any]:
    probabilities, truth, size = logits.sigmoid(), labels.long(), target.size
    each: dict[str, Any] = {"zero_division": 0, "average": "none"}
    per_label = {
        "f1": multilabel_f1_score(probabilities, truth, size, **each),
        "precision": multilabel_precision(probabilities, truth, size, **each),
        "recall": multilabel_recall(probabilities, truth, size, **each),
    }
    average_precisions = [
        float(binary_average_precision(probabilities[:, i], truth[:, i])) if truth[:, i].any() else None
        for i in range(size)
    ]
    there = truth.any(0)
    return {
        "map": _mean([value for value in average_precisions if value is not None]),
        "micro_f1": float(multilabel_f1_score(probabilities, truth, size, average="micro")),
        "macro_f1": float(per_label["f1"][there].mean()) if there.any() else None,
        "loss": float(F.binary_cross_entropy_with_logits(logits, labels)),
        "baseline_map": _mean(truth.float().mean(0)[there].tolist()),
        "per_label": [
            {
                "label": label,
                "rows": int(truth[:, i].sum()),
                "average_precision": average_precisions[i],
                **{name: float(values[i]) for name, values in per_label.items()},
            }
            for i, label in enumerate(target.labels)
        ],
    }


def _number_metrics(target: NumberTarget, outputs: Tensor, encoded: Tensor) -> dict[str, Any]:
    """In double precision, since a unit may be large against the spread."""
    given = outputs.double() * target.std + target.mean
    truth = encoded.double() * target.std + target.mean
    mean = torch.full_like(truth, target.mean)
    varies = len(truth) > 1 and bool(truth.max() > truth.min())
    return {
        "mae": float(mean_absolute_error(given, truth)),
        "rmse": float(mean_squared_error(given, truth, squared=False)),
        "r2": float(r2_score(given, truth)) if varies else None,
        "baseline_mae": float(mean_absolute_error(mean, truth)),
        "baseline_rmse": float(mean_squared_error(mean, truth, squared=False)),
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
