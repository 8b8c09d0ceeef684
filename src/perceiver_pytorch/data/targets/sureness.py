"""How far probabilities can be believed: bins of stated and found shares, their mean gap, and the Brier score."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

BINS = 15


def reliability(stated: "Tensor", happened: "Tensor") -> list[dict[str, Any]]:
    """Probabilities in `BINS` bins of equal width, without the empty ones.

    Args:
        stated: float ``(events,)``, the probabilities.
        happened: bool ``(events,)``.

    Returns:
        Per bin ``rows``, ``stated`` (the mean probability) and ``found`` (the share that happened).
    """
    place = (stated * BINS).long().clamp(max=BINS - 1)
    rows = place.bincount(minlength=BINS)
    means = [place.bincount(values.double(), BINS) / rows for values in (stated, happened)]
    return [
        {"rows": int(rows[i]), "stated": float(means[0][i]), "found": float(means[1][i])}
        for i in rows.nonzero().flatten().tolist()
    ]


def ece(bins: list[dict[str, Any]]) -> float:
    """The expected calibration error: the mean gap between stated and found (Naeini and others 2015)."""
    return sum(each["rows"] * abs(each["stated"] - each["found"]) for each in bins) / sum(b["rows"] for b in bins)


def sureness(stated: "Tensor", happened: "Tensor", brier: "Tensor", loss: "Tensor") -> dict[str, Any]:
    """What is said of probabilities: ``ece``, ``brier``, ``loss`` and ``bins``."""
    bins = reliability(stated.flatten(), happened.flatten())
    return {"ece": ece(bins), "brier": float(brier.mean()), "loss": float(loss.mean()), "bins": bins}
