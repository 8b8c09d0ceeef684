"""Cells: every combination of a set, one level of each factor, and a seed; and the hash of what determines one."""

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib import metadata
from pathlib import Path
from typing import Any

from perceiver_pytorch._settings import all_settings, overlaid, value_at
from perceiver_pytorch.data import builtin_names, builtin_table, load_table
from perceiver_pytorch.data.table_fingerprint import digest
from perceiver_pytorch.experiments.references import source_digest
from perceiver_pytorch.experiments.spec import DataSet, Experiment, Factor, Level, Match, Path_
from perceiver_pytorch.training.table.datasets import read_options
from perceiver_pytorch.training.table.settings import FitConfig, preset

_BASE: dict[Path_, Any] = {("training", "precision"): "32-true"}
"""Cells differ only in what the experiment says: neither a model's size nor the processor decides on precision."""

PACKAGE = "perceiver-multi-modality-pytorch"


@dataclass(frozen=True)
class Reference:
    """What a level is matched with.

    Attributes:
        match: what is to be equal, and what is chosen for it.
        config: the cell of the other level.
        model: that of the other level.
    """

    match: Match
    config: FitConfig
    model: str | None


@dataclass(frozen=True)
class Cell:
    """One training.

    Attributes:
        set: name of the set.
        levels: {factor: level}.
        seed: of this cell.
        config: everything that the run depends on.
        model: ``package.module:function``, or None.
        reference: what its size is matched with, or None.
    """

    set: str
    levels: Mapping[str, str]
    seed: int
    config: FitConfig
    model: str | None = None
    reference: Reference | None = None

    @property
    def title(self) -> str:
        """For messages."""
        return ", ".join([self.set, *self.levels.values(), f"seed {self.seed}"])

    def key(self, data: str) -> str:
        """The hash of everything that determines the result.

        Args:
            data: what tells the set's rows, of `data_digest`.
        """
        found: dict[str, Any] = {
            "version": metadata.version(PACKAGE),
            "data": data,
            "config": _determining(self.config),
            "model": _model(self.model),
        }
        if (other := self.reference) is not None:
            found["match"] = [
                other.match.measure,
                [list(path) for path in other.match.by],
                _determining(other.config),
                _model(other.model),
            ]
        return blake2b(json.dumps(found, sort_keys=True).encode(), digest_size=12).hexdigest()


def all_cells(experiment: Experiment, seeds: Iterable[int] | None = None, data: Path | None = None) -> list[Cell]:
    """The cells of an experiment: of one set and seed after another.

    Args:
        experiment: what was asked for.
        seeds: those of every set; None: those that all cells have.
        data: the folder that paths of tables start at; None: the current one.

    Raises:
        ValueError, TypeError: for settings that do not go together; the message names the cell.
    """
    factors = experiment.factors
    combinations = [
        levels
        for levels in itertools.product(*(factor.levels for factor in factors))
        if all(factor.goes_with(_names(factors, levels)) for factor in factors)
    ]
    return [
        _cell(experiment, one, combination, seed, data)
        for seed in (experiment.seeds.first if seeds is None else seeds)
        for one in experiment.sets
        for combination in combinations
    ]


def cells_of(experiment: Experiment, name: str, seed: int, data: Path | None = None) -> list[Cell]:
    """Those of one set and seed."""
    return [cell for cell in all_cells(experiment, [seed], data) if cell.set == name]


def data_digest(one: DataSet, experiment: Experiment, data: Path | None = None) -> str:
    """What tells the rows of a set.

    Raises:
        DataError: for a table that cannot be read, or is not there.
    """
    name = _place(one, data)
    if name in builtin_names():
        return blake2b(builtin_table(name).read_bytes(), digest_size=16).hexdigest()
    config = overlaid(FitConfig(), experiment.base | one.changes)
    return digest(load_table(name, read_options(config.data, None)))


def _cell(experiment: Experiment, one: DataSet, levels: tuple[Level, ...], seed: int, data: Path | None) -> Cell:
    names = _names(experiment.factors, levels)
    model = next((level.model for level in levels if level.model), None)
    reference = None
    try:
        config = _config(experiment, one, levels, seed, data)
        for i, (factor, level) in enumerate(zip(experiment.factors, levels, strict=True)):
            if level.match is not None:
                other = _replaced(levels, i, factor, level.match)
                others_model = next((level.model for level in other if level.model), None)
                reference = Reference(level.match, _config(experiment, one, other, seed, data), others_model)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{', '.join([one.name, *names.values()])}: {error}") from None
    return Cell(one.name, names, seed, config, model, reference)


def _names(factors: tuple[Factor, ...], levels: tuple[Level, ...]) -> dict[str, str]:
    return {factor.name: level.name for factor, level in zip(factors, levels, strict=True)}


def _replaced(levels: tuple[Level, ...], place: int, factor: Factor, match: Match) -> tuple[Level, ...]:
    return (*levels[:place], factor.level(match.level), *levels[place + 1 :])


def _config(experiment: Experiment, one: DataSet, levels: tuple[Level, ...], seed: int, data: Path | None) -> FitConfig:
    changes: dict[Path_, Any] = _BASE | experiment.base
    for level in levels:
        changes |= level.changes
    changes |= one.changes | {("data", "table"): _place(one, data), ("training", "seed"): seed}
    return overlaid(preset("auto", one.table), changes)


def _place(one: DataSet, data: Path | None) -> str:
    """The table's name, or its path from the folder of the data."""
    if one.table in builtin_names() or one.table.startswith("hf:") or data is None:
        return one.table
    return str(data / one.table)


def _determining(config: FitConfig) -> dict[str, Any]:
    """The settings that a result depends on: what may always change on resuming does not change it."""
    known = [setting for setting in all_settings(FitConfig) if setting.knob.resumable is not True]
    return {setting.path: value_at(config, setting.path) for setting in known}


@cache
def _model(reference: str | None) -> list[str] | None:
    return None if reference is None else [reference, source_digest(reference)]
