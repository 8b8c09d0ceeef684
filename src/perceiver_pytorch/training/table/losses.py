"""The loss of one or several targets, over the rows where they are known."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from perceiver_pytorch.data import Target
from perceiver_pytorch.models.blended import Parts


def target_loss(
    target: Target, outputs: Tensor, encoded: Tensor, *, weights: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """The mean loss over rows with a known target, 0 (with zero gradients) where there are none.

    Args:
        target: what it is.
        outputs: ``(rows, size)``.
        encoded: as in a `Batch`.
        weights: of `Target.balanced_weights`, or None.
        label_smoothing: of classes.
    """
    keep = target.known(encoded)
    outputs, encoded = outputs[keep], encoded[keep]
    if not len(outputs):
        return outputs.sum()
    return target.loss(outputs, encoded, weights=weights, label_smoothing=label_smoothing)


def losses_of_heads(parts: Parts, loss_of: Callable[[Tensor, Tensor], Tensor]) -> dict[int, Tensor]:
    """{number of a head: its loss over the rows that it answers}, without heads that answer none.

    Args:
        parts: of a `BlendedPerceiver`.
        loss_of: from outputs ``(rows, size)`` and the numbers of those rows in the batch to their loss.
    """
    return {
        i: loss_of(answers[there], there.nonzero().flatten())
        for i, (answers, there) in enumerate(zip(parts.answers[1:], parts.there[1:], strict=True))
        if there.any()
    }


def weighted_mean(losses: Mapping[str, Tensor], targets: Sequence[Target], weights: Mapping[str, float]) -> Tensor:
    """The losses of several targets as one: their mean, each with its weight (1 where none is given)."""
    shares = {target.name: weights.get(target.name, 1.0) for target in targets}
    total = sum(shares.values())
    return torch.stack([losses[name] * (share / total) for name, share in shares.items()]).sum()
