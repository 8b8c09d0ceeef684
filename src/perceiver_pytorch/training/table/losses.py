"""The loss of each kind of target, over the rows where it is known."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from perceiver_pytorch.data import ClassTarget, LabelsTarget, TargetSpec
from perceiver_pytorch.training.table.metrics import known

_MAX_POS_WEIGHT = 100.0  # a label that one row in thousands has must not drown the others


def class_weights(target: TargetSpec, balanced: bool) -> Tensor | None:
    """Weights that make up for skewed train rows, float32 ``(size,)``, or None.

    Classes: inversely to their number of rows, so that a class of average size weighs 1. Labels: what a row with the
    label weighs, the number of rows without it for each row with it (at most 100). Numbers have none.
    """
    if not balanced:
        return None
    if isinstance(target, ClassTarget):
        counts = torch.tensor(target.counts, dtype=torch.float32).clamp_min(1)
        return counts.sum() / (target.size * counts)
    if isinstance(target, LabelsTarget):
        counts = torch.tensor(target.counts, dtype=torch.float32).clamp_min(1)
        return ((target.rows - counts) / counts).clamp(1 / _MAX_POS_WEIGHT, _MAX_POS_WEIGHT)
    return None


def target_loss(
    target: TargetSpec,
    outputs: Tensor,
    encoded: Tensor,
    *,
    weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """The mean loss over rows with a known target, 0 (with zero gradients) where there are none.

    Args:
        target: what it is.
        outputs: ``(rows, size)``.
        encoded: as in a `Batch`.
        weights: of `class_weights`.
        label_smoothing: of classes.

    Returns:
        Classes: cross-entropy. Labels: mean binary cross-entropy. Numbers: mean squared error, standardised.
    """
    keep = known(target, encoded)
    outputs, encoded = outputs[keep], encoded[keep]
    if not len(outputs):
        return outputs.sum()
    if isinstance(target, ClassTarget):
        return F.cross_entropy(outputs, encoded, weight=weights, label_smoothing=label_smoothing)
    if isinstance(target, LabelsTarget):
        return F.binary_cross_entropy_with_logits(outputs, encoded, pos_weight=weights)
    return F.mse_loss(outputs[:, 0], encoded)


def weighted_mean(losses: Mapping[str, Tensor], targets: Sequence[TargetSpec], weights: Mapping[str, float]) -> Tensor:
    """The losses of several targets as one: their mean, each with its weight (1 where none is given)."""
    shares = {target.name: weights.get(target.name, 1.0) for target in targets}
    total = sum(shares.values())
    return torch.stack([losses[name] * (share / total) for name, share in shares.items()]).sum()
