"""A trained model on rows of a table: probabilities, metrics, and what each modality is worth."""

import dataclasses
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix, multiclass_f1_score

from perceiver_pytorch.data import Batch, TableDataset, collate
from perceiver_pytorch.multi_modality_with_text_perceiver import MultiModalityWithTextPerceiver
from perceiver_pytorch.training.build import run_model, token_shapes

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Of a number of rows.

    Attributes:
        rows: int64 ``(rows,)``, row numbers in the table.
        probabilities: float32 ``(rows, classes)``.
        targets: int64 ``(rows,)``, -1 where unknown.
    """

    rows: Tensor
    probabilities: Tensor
    targets: Tensor

    @property
    def known(self) -> "Predictions":
        """Those with a known target."""
        keep = self.targets >= 0
        return Predictions(self.rows[keep], self.probabilities[keep], self.targets[keep])

    @property
    def accuracy(self) -> float:
        """Share of rows whose most probable class is the target."""
        return float((self.probabilities.argmax(-1) == self.targets).float().mean())


@torch.no_grad()
def predict(
    model: MultiModalityWithTextPerceiver,
    dataset: TableDataset,
    *,
    batch_size: int = 256,
    left_out: Collection[str] = (),
    progress: Progress | None = None,
) -> Predictions:
    """Runs the model over a data set in order, on the device of its weights.

    Args:
        left_out: names of modalities to treat as missing in every row.
        progress: called with (rows done, rows in all).
    """
    model.eval()
    device = next(model.parameters()).device
    probabilities, targets = [], []
    for start in range(0, len(dataset), batch_size):
        samples = [dataset[i] for i in range(start, min(start + batch_size, len(dataset)))]
        batch = _without(collate(samples, dataset.spec), left_out).to(device)
        logits = run_model(model, batch)
        probabilities.append(logits.float().softmax(-1).cpu())
        targets += [target.cpu() for target in batch.targets.values()]
        if progress is not None:
            progress(start + len(samples), len(dataset))
    return Predictions(torch.from_numpy(np.array(dataset.rows)), torch.cat(probabilities), torch.cat(targets))


def metrics(predictions: Predictions, num_classes: int) -> dict[str, Any]:
    """Accuracy, macro F1, negative log-likelihood, the majority class's accuracy and the confusion matrix.

    Raises:
        ValueError: if no row has a known target.
    """
    known = predictions.known
    if not len(known.targets):
        raise ValueError("no row has a target that the model knows; there is nothing to measure against")
    chosen = known.probabilities.argmax(-1)
    likelihood = known.probabilities.gather(1, known.targets[:, None]).clamp_min(1e-12).log()
    counts = known.targets.bincount(minlength=num_classes)
    return {
        "rows": len(known.targets),
        "accuracy": known.accuracy,
        "macro_f1": float(multiclass_f1_score(chosen, known.targets, num_classes, average="macro")),
        "loss": float(-likelihood.mean()),
        "majority_accuracy": float(counts.max() / counts.sum()),
        "confusion": multiclass_confusion_matrix(chosen, known.targets, num_classes).tolist(),
    }


def modality_accuracies(
    model: MultiModalityWithTextPerceiver,
    dataset: TableDataset,
    *,
    batch_size: int = 256,
    progress: Progress | None = None,
) -> dict[str, dict[str, float]]:
    """Per modality the accuracy ``without`` it and with it ``alone``; empty for a single modality."""
    names = [modality.name for modality in dataset.spec.modalities]
    if len(names) < 2:
        return {}
    results: dict[str, dict[str, float]] = {}
    runs = [(name, key) for name in names for key in ("without", "alone")]
    for done, (name, key) in enumerate(runs):
        left_out = [name] if key == "without" else [other for other in names if other != name]
        predictions = predict(model, dataset, batch_size=batch_size, left_out=left_out)
        results.setdefault(name, {})[key] = predictions.known.accuracy
        if progress is not None:
            progress(done + 1, len(runs))
    return results


def _without(batch: Batch, left_out: Collection[str]) -> Batch:
    """The batch with some modalities missing in every row."""
    masks, shapes = dict(batch.masks), token_shapes(batch)
    for name in left_out:
        masks[name] = torch.zeros(shapes[name], dtype=torch.bool)
    return dataclasses.replace(batch, masks=masks)
