"""What a model says about a row and what is true, in words."""

from typing import Any

from torch import Tensor

from perceiver_pytorch.data import ClassTarget, LabelsTarget, TargetSpec
from perceiver_pytorch.training.table.evaluation import Predictions
from perceiver_pytorch.training.table.metrics import known


def answer(target: TargetSpec, predictions: Predictions, place: int) -> dict[str, Any]:
    """What was predicted, and what is true, as text; ``right`` is None where that is no yes or no."""
    values, encoded = predictions.values(target)[place], predictions.encoded[target.name][place]
    is_known = bool(known(target, encoded[None]))
    found: dict[str, Any] = {"name": target.name, "right": None, "truth": None}
    if isinstance(target, ClassTarget):
        chosen = int(values.argmax())
        found["prediction"] = f"{target.classes[chosen]} ({100 * float(values[chosen]):.0f} %)"
        if is_known:
            found |= {"truth": target.classes[int(encoded)], "right": chosen == int(encoded)}
    elif isinstance(target, LabelsTarget):
        found["prediction"] = _names(target, values >= 0.5)
        if is_known:
            found |= {"truth": _names(target, encoded > 0), "right": bool(((values >= 0.5) == (encoded > 0)).all())}
    else:
        found["prediction"] = target.text(float(values[0]))
        if is_known:
            found["truth"] = target.text(float(encoded) * target.std + target.mean)
    return found


def _names(target: LabelsTarget, chosen: Tensor) -> str:
    return ", ".join(target.labels[i] for i in chosen.nonzero().flatten().tolist()) or "(none)"
