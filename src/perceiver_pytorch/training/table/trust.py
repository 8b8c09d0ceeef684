"""What the metrics say of how far a model's own certainty can be trusted, on rows with known targets."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perceiver_pytorch.data import Predictions, Target
from perceiver_pytorch.data.calibration import Calibration, PatternCalibration
from perceiver_pytorch.data.targets.intervals import wilson
from perceiver_pytorch.data.targets.scaling import folds

COVERAGES = (0.8, 0.9, 0.95)
"""For which sets are measured."""
_TOLD = 0.9  # of them the one that is warned of
_LEAST_TOLD = 30  # rows

Groups = Sequence[tuple[PatternCalibration, np.ndarray]]
"""Entries, each with the rows, int64, that go by it."""


def trust(raw: Predictions, calibration: Calibration | None, *, same_rows: bool) -> dict[str, dict[str, Any]]:
    """{target: what can be said of it}, of the targets that are known in some row and that anything was learned about.

    Args:
        raw: the model's outputs, as it gives them.
        calibration: of the model.
        same_rows: whether it was learned from these rows; each is then measured by what the others teach.

    Returns:
        ``calibration``: ``method``, ``rows`` that it was learned from, and `Target.sureness` ``before`` and ``after``;
        ``coverage``: per entry of `COVERAGES` the share ``asked``, and ``measured`` with its interval ``low`` to
        ``high``, the mean ``size`` of the sets (None: infinite), and ``rows``.
    """
    found = {}
    for target in raw.targets if calibration is not None else ():
        keep = target.known(raw.encoded[target.name]).nonzero().flatten()
        if not len(keep) or calibration is None or target.name not in calibration.targets:
            continue
        outputs, encoded = raw.outputs[target.name][keep].float(), raw.encoded[target.name][keep]
        if same_rows:
            groups = _crossed(target, outputs, encoded)
        else:
            present = {name: has[keep.numpy()] for name, has in raw.has.items()}
            groups = list(calibration.groups(target, present, raw.left_out))
        first = calibration.targets[target.name][0]
        learned = {"method": first.fitted.method, "rows": first.rows}
        found[target.name] = {
            "calibration": learned | _sureness(target, outputs, encoded, groups),
            "coverage": [row for share in COVERAGES if (row := _coverage(target, outputs, encoded, groups, share))],
        }
    return found


def in_short(told: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """{target: ``ece``, ``brier`` and ``coverage`` {asked: measured}}, as far as they are known, of `trust`."""
    return {
        name: {
            **{key: each["calibration"]["after"][key] for key in ("ece", "brier") if "after" in each["calibration"]},
            "coverage": {str(row["asked"]): row["measured"] for row in each["coverage"]},
        }
        for name, each in told.items()
    }


def coverage_doubts(measured: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sentence for each target whose sets hold the truth less often than asked, beyond what chance explains."""
    return [
        f"{name}: sets of coverage {row['asked']:g} hold the truth of {row['measured']:.3f} of the rows "
        f"({row['low']:.3g}–{row['high']:.3g}): they differ from the validation rows, by which the model was chosen"
        for name, metrics in measured.items()
        for row in metrics.get("coverage", ())
        if row["asked"] == _TOLD and row["high"] < row["asked"] and row["rows"] >= _LEAST_TOLD
    ]


def _crossed(target: Target, outputs: Tensor, encoded: Tensor) -> Groups:
    """Each part of the rows by what was learned from the others."""
    found = []
    for part in folds(len(outputs)):
        others = np.setdiff1d(np.arange(len(outputs)), part)
        entry = PatternCalibration.learned(target, (), outputs[others], encoded[others])
        if entry is not None:
            found.append((entry, part))
    return found


def _sureness(target: Target, outputs: Tensor, encoded: Tensor, groups: Groups) -> dict[str, Any]:
    before = target.sureness(outputs, encoded)
    if not before:
        return {}
    after = outputs.clone()
    for entry, rows in groups:
        after[rows] = _calibrated(entry, outputs, rows)
    return {"before": before, "after": target.sureness(after, encoded)}


def _coverage(
    target: Target, outputs: Tensor, encoded: Tensor, groups: Groups, coverage: float
) -> dict[str, Any] | None:
    """A row of ``coverage``; None for a target without sets."""
    held, sizes = [], []
    for entry, rows in groups:
        if not entry.misfits:
            return None
        values = target.values(_calibrated(entry, outputs, rows)).numpy()
        regions = target.regions(values, entry.limits(coverage), entry.fitted)
        held.append(target.holds(regions, encoded[rows].numpy()))
        sizes.append(target.region_sizes(regions))
    if not held:
        return None
    hits, size = np.concatenate(held), np.concatenate(sizes)
    share = float(hits.mean())
    low, high = wilson(share, len(hits))
    mean = float(size.mean()) if np.isfinite(size).all() else None
    return {"asked": coverage, "measured": share, "low": low, "high": high, "size": mean, "rows": len(hits)}


def _calibrated(entry: PatternCalibration, outputs: Tensor, rows: np.ndarray) -> Tensor:
    return torch.from_numpy(entry.fitted.calibrated(outputs[rows].numpy()))
