"""What an experiment is: base configuration, factors with their levels, sets, seeds, metrics and comparisons."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Path_ = tuple[str, ...]
"""The keys of a setting: ``("model", "depth")``."""

PARAMETERS, OPERATIONS = "parameters", "operations"


@dataclass(frozen=True)
class Match:
    """A size that is chosen so that a level equals another.

    Attributes:
        level: the other level of the same factor.
        measure: what is to be equal: parameters, or operations per step.
        by: the settings that are chosen, sizes of the model; all have the same value.
    """

    level: str
    measure: str
    by: tuple[Path_, ...]


@dataclass(frozen=True)
class Level:
    """One value of a factor.

    Attributes:
        name: as reports call it.
        changes: settings by their keys.
        model: ``package.module:function`` that makes the model; None: the model of the settings.
        match: a size that is chosen to equal another level.
        where: {factor: level}: it goes with these levels of other factors alone, which saves cells.
    """

    name: str
    changes: dict[Path_, Any] = field(default_factory=dict)
    model: str | None = None
    match: Match | None = None
    where: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Factor:
    """What varies from cell to cell.

    Attributes:
        name: as reports call it.
        levels: at least one.
        where: {factor: level}: levels but the first go with these levels of other factors alone, as by their own
            ``where``.
    """

    name: str
    levels: tuple[Level, ...]
    where: dict[str, str] = field(default_factory=dict)

    def goes_with(self, levels: Mapping[str, str]) -> bool:
        """Whether its level of a combination may stand beside the others."""
        level = self.level(levels[self.name])
        beside = level.where if level == self.levels[0] else self.where | level.where
        return all(levels[name] == one for name, one in beside.items())

    def level(self, name: str) -> Level:
        """The level of that name."""
        return next(level for level in self.levels if level.name == name)


@dataclass(frozen=True)
class DataSet:
    """A table to train on.

    Attributes:
        name: as reports call it.
        table: a built-in set, a path, or whatever else ``perceiver fit`` reads.
        changes: settings of this set alone, its target and the columns to ignore among them.
    """

    name: str
    table: str
    changes: dict[Path_, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Seeds:
    """Which seeds a cell is trained with.

    Attributes:
        first: all cells have these.
        most: as many seeds are there at most; more than ``first`` where intervals are wide.
        until: half the width of an interval from which on a set needs no more seeds.
    """

    first: tuple[int, ...]
    most: int
    until: float | None = None

    @property
    def further(self) -> tuple[int, ...]:
        """Seeds that sets with wide intervals get one by one."""
        start = max(self.first) + 1
        return tuple(range(start, start + self.most - len(self.first)))


@dataclass(frozen=True)
class Metric:
    """A number of ``metrics.json``.

    Attributes:
        name: its key; within a mapping ``outer.inner``.
        better: ``"higher"`` or ``"lower"``.
        margin: differences below it do not matter.
    """

    name: str
    better: str = "higher"
    margin: float = 0.01

    @property
    def sign(self) -> int:
        """What a difference is multiplied by, so that more is better."""
        return 1 if self.better == "higher" else -1


@dataclass(frozen=True)
class Comparison:
    """Levels of a factor against one of them, everything else being equal.

    Attributes:
        name: as reports call it.
        factor: whose levels are compared.
        baseline: the level that the others are compared with.
        against: the others.
    """

    name: str
    factor: str
    baseline: str
    against: tuple[str, ...]


@dataclass(frozen=True)
class Experiment:
    """Everything that a YAML file says.

    Attributes:
        name: of the file.
        question: what is asked, in a sentence.
        base: settings of every cell by their keys.
        factors, sets, seeds: what cells are made of.
        metrics: the first one is the primary one, on which all is decided.
        comparisons: what is compared.
        alpha: how often one of the comparisons of a metric may find a difference that is none.
        keep_models: keep the run folder of every cell.
        text: the YAML itself.
        quick: whether it is the small form.
    """

    name: str
    question: str
    base: dict[Path_, Any]
    factors: tuple[Factor, ...]
    sets: tuple[DataSet, ...]
    seeds: Seeds
    metrics: tuple[Metric, ...]
    comparisons: tuple[Comparison, ...]
    alpha: float
    keep_models: bool
    text: str
    quick: bool = False

    def factor(self, name: str) -> Factor:
        """The factor of that name."""
        return next(factor for factor in self.factors if factor.name == name)
