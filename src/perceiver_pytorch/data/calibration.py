"""How sure a model may be: what was learned of its outputs from validation rows, for each pattern of modalities.

``calibration.json`` stands beside the weights, and is arrays and names alone. A row's pattern says which entry it goes
by; its outputs are then ``outputs * scale + bias``, and after that come softmax, sigmoid or the number.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from perceiver_pytorch._lazy import torch
from perceiver_pytorch.data.errors import DataError
from perceiver_pytorch.data.spec_json import from_json, to_json
from perceiver_pytorch.data.targets import Target
from perceiver_pytorch.data.targets.conformal import kept_misfits, limits, rows_needed
from perceiver_pytorch.data.targets.scaling import LEAST_ROWS, Fitted, folds

if TYPE_CHECKING:
    from torch import Tensor

_VERSION = 1


@dataclass(frozen=True)
class PatternCalibration:
    """What was learned about one target from the rows that have the same modalities.

    Attributes:
        present: the modalities; empty: rows as they are, whatever they have.
        rows: how many there were.
        fitted: of the outputs.
        misfits: `kept_misfits` of the calibrated outputs; empty for a target without sets.
    """

    present: tuple[str, ...]
    rows: int
    fitted: Fitted
    misfits: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def learned(
        cls, target: Target, present: Sequence[str], outputs: "Tensor", encoded: "Tensor"
    ) -> "PatternCalibration | None":
        """From rows that the model was not trained on; None if the target is known in none of them.

        Args:
            target: what was predicted.
            present: what the rows have; empty: they differ.
            outputs: float ``(rows, size)``, as the model gives them.
            encoded: ``(rows, *shape)``, known or not.
        """
        known = target.known(encoded)
        outputs, encoded = outputs[known].float(), encoded[known]
        if not len(outputs):
            return None
        fitted = target.fitted(outputs, encoded)
        misfits = _misfits(target, outputs, encoded, fitted)
        kept = () if misfits is None else kept_misfits(misfits)
        return cls(tuple(present), len(outputs), fitted, kept)

    def limits(self, coverage: float) -> list[float]:
        """`limits` of sets of this coverage."""
        return limits(self.misfits, self.rows, coverage)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        misfits = [list(side) for side in self.misfits]
        return {"present": list(self.present), "rows": self.rows, **to_json(self.fitted), "misfits": misfits}

    @classmethod
    def from_json(cls, given: Any, place: str) -> "PatternCalibration":
        """From `to_json`; raises a `DataError` for anything else."""
        own = {"present": tuple[str, ...], "rows": int, "misfits": tuple[tuple[float, ...], ...]}
        if not isinstance(given, Mapping) or not own.keys() <= given.keys():
            raise DataError(f"{place} must have the fields {sorted(own)}")
        fitted = from_json(Fitted, {key: value for key, value in given.items() if key not in own}, place)
        found = from_json(_Own, {key: given[key] for key in own}, place)
        return cls(found.present, found.rows, fitted, found.misfits)


@dataclass(frozen=True)
class _Own:
    """What of an entry is not `Fitted`."""

    present: tuple[str, ...]
    rows: int
    misfits: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise ValueError(f"rows must be 1 or more, got {self.rows}")
        if any(list(side) != sorted(side) or not 0 < len(side) <= self.rows for side in self.misfits):
            raise ValueError("misfits must ascend, and be no more than the rows")


@dataclass(frozen=True)
class Calibration:
    """What was learned of a model's outputs.

    Attributes:
        targets: {target: its entries}, of the rows as they are first, then one for each pattern with rows enough. A
            target that no row had is not there.
    """

    targets: Mapping[str, tuple[PatternCalibration, ...]]

    @classmethod
    def from_json(cls, given: Mapping[str, Any], targets: Sequence[Target]) -> "Calibration":
        """From `to_json`.

        Raises:
            DataError: for anything else, or what does not fit the targets.
        """
        if given.get("version") != _VERSION or not isinstance(given.get("targets"), Mapping):
            raise DataError(f"a calibration must have version {_VERSION} and targets")
        found = {}
        for target in (target for target in targets if target.name in given["targets"]):
            entries, place = given["targets"][target.name], f"targets.{target.name}"
            if not isinstance(entries, list) or not entries:
                raise DataError(f"{place} must be a list with one entry at least")
            found[target.name] = tuple(
                PatternCalibration.from_json(entry, f"{place}[{i}]") for i, entry in enumerate(entries)
            )
            for entry in found[target.name]:
                if len(entry.fitted.scale) not in (0, target.size):
                    raise DataError(f"{place} must have {target.size} numbers of scale, got {len(entry.fitted.scale)}")
        return cls(found)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        entries = {name: [entry.to_json() for entry in found] for name, found in self.targets.items()}
        return {"version": _VERSION, "targets": entries}

    def coverage_warnings(self, coverage: float) -> list[str]:
        """A sentence for each target whose sets of this coverage hold everything: too few rows say how far it misses.

        Raises:
            ValueError: if it is not above 0 and below 1.
        """
        return [
            f"{name}: {entries[0].rows:,} validation rows are too few for a coverage of {coverage:g}, which takes "
            f"{rows_needed(coverage, len(entries[0].misfits)):,}: sets hold all there is"
            for name, entries in self.targets.items()
            if math.isinf(max(entries[0].limits(coverage), default=0.0))
        ]

    def calibrated(
        self, target: Target, outputs: np.ndarray, present: Mapping[str, np.ndarray], left_out: Collection[str] = ()
    ) -> np.ndarray:
        """A model's outputs ``(rows, size)``, calibrated; further arguments as in `groups`."""
        found = outputs.copy()
        for entry, rows in self.groups(target, present, left_out):
            found[rows] = entry.fitted.calibrated(outputs[rows])
        return found

    def regions(
        self,
        target: Target,
        values: np.ndarray,
        coverage: float,
        present: Mapping[str, np.ndarray],
        left_out: Collection[str] = (),
    ) -> np.ndarray | None:
        """`Target.regions` ``(rows, ..)`` that hold the truth of a share ``coverage`` of rows like those that were
        learned from; None where nothing is known of the target's misfits.

        Args:
            target: what was predicted.
            values: `Target.values` of calibrated outputs.
            coverage: above 0 and below 1.
            present, left_out: as in `groups`.
        """
        parts = [
            (rows, target.regions(values[rows], entry.limits(coverage), entry.fitted))
            for entry, rows in self.groups(target, present, left_out)
            if entry.misfits
        ]
        if not parts:
            return None
        order = np.concatenate([rows for rows, _ in parts])
        return np.concatenate([regions for _, regions in parts])[np.argsort(order)]

    def groups(
        self, target: Target, present: Mapping[str, np.ndarray], left_out: Collection[str] = ()
    ) -> Iterator[tuple[PatternCalibration, np.ndarray]]:
        """The entries that rows go by, each with its rows, int64; none for a target without entries.

        A pattern without an entry goes by that of the pattern which differs in the fewest modalities.

        Args:
            target: whose entries.
            present: {modality: bool ``(rows,)``}, whether it has a real token.
            left_out: modalities that were taken from all rows.
        """
        if (entries := self.targets.get(target.name)) is None:
            return
        there = np.stack([has & (name not in left_out) for name, has in present.items()], axis=1)
        for pattern in np.unique(there, axis=0):
            names = frozenset(name for name, has in zip(present, pattern.tolist(), strict=True) if has)
            yield nearest(entries, names), np.flatnonzero((there == pattern).all(1))


def _misfits(target: Target, outputs: "Tensor", encoded: "Tensor", fitted: Fitted) -> np.ndarray | None:
    """`Target.misfits` of rows, each by what the others teach: those that were learned from look less missed than new
    ones, and sets would be too small."""
    if not (fitted.scale or fitted.at) or len(outputs) < LEAST_ROWS:
        return target.misfits(target.values(outputs).numpy(), encoded.numpy(), fitted)
    found: dict[int, np.ndarray] = {}
    for part in folds(len(outputs)):
        others = np.setdiff1d(np.arange(len(outputs)), part)
        own = target.fitted(outputs[others], encoded[others], like=fitted)
        calibrated = torch.from_numpy(own.calibrated(outputs[part].numpy()))
        misfits = target.misfits(target.values(calibrated).numpy(), encoded[part].numpy(), own)
        if misfits is None:
            return None
        found |= dict(zip(part.tolist(), misfits, strict=True))
    return np.stack([found[i] for i in range(len(outputs))])


def nearest(entries: Sequence[PatternCalibration], present: frozenset[str]) -> PatternCalibration:
    """The entry of a pattern, or else of the one that differs in the fewest modalities, and of these of the first."""
    patterns = [entry for entry in entries if entry.present]
    return min(patterns, key=lambda entry: len(present ^ {*entry.present}), default=entries[0])


def learned(
    target: Target, answered: Sequence[tuple[Sequence[str], "Tensor", "Tensor"]]
) -> tuple[PatternCalibration, ...]:
    """The entries of one target.

    Args:
        target: what was predicted.
        answered: (modalities that the rows have, outputs, encoded); first of the rows as they are, which have ().
    """
    found = [PatternCalibration.learned(target, *each) for each in answered]
    every, *patterns = found or [None]
    kept = [entry for entry in patterns if entry is not None and entry.rows >= LEAST_ROWS]
    return () if every is None else (every, *kept)


def calibration_of(model: Any, targets: Sequence[Target]) -> Calibration | None:
    """That of a saved model; None if it has none.

    Raises:
        DataError: if it does not fit the targets.
    """
    given = getattr(model, "calibration", None)
    return None if given is None else Calibration.from_json(given, targets)
