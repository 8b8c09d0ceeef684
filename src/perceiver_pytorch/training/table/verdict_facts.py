"""What a verdict is made of: what is known of a run or of a measurement, and what a rule finds in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from perceiver_pytorch.data import ModalitySpec, Target
from perceiver_pytorch.data.choice import Choice
from perceiver_pytorch.data.targets.scores import by_target
from perceiver_pytorch.training.run.divergence import Divergence
from perceiver_pytorch.training.run.planning import Plan
from perceiver_pytorch.training.table.advice import Advice
from perceiver_pytorch.training.table.settings import FitConfig
from perceiver_pytorch.training.table.suspects import Suspect

Figures = Mapping[str, float | int | str]


@dataclass(frozen=True)
class Finding:
    """One thing that is said about a result.

    Attributes:
        rule: that found it.
        says: a sentence or two.
        evidence: the figures that decided it, by what they are.
        limits: what kept the model from being better, in a word; None: it says something else.
        command: what to type next; None: nothing that can be typed.
        answer: of a rule that answers yes or no: which; None: it cannot be told.
    """

    rule: str
    says: str
    evidence: Figures
    limits: str | None = None
    command: str | None = None
    answer: bool | None = None


@dataclass(frozen=True)
class Score:
    """A target's score on some rows.

    Attributes:
        title: its name, for people.
        value: larger is better, 1 is perfect.
        low, high: ends of its interval; the value, where it has none.
        chance: the same score without reading any input; None where that is not known.
        rows: that it was measured on.
    """

    title: str
    value: float
    low: float
    high: float
    chance: float | None
    rows: int

    @classmethod
    def of(cls, target: Target, metrics: Mapping[str, Any], choice: Choice) -> "Score":
        """That by which the target's best epoch is chosen."""
        name = choice.of(target)
        value = target.score(metrics, name)
        interval = (metrics.get("intervals") or {}).get(name) or {"low": value, "high": value}
        chance = target.without_inputs(metrics, name)
        return cls(target.titles[name], value, interval["low"], interval["high"], chance, metrics["rows"])

    @property
    def doubt(self) -> float:
        """The longer side of its interval: of few rows the shorter one says little."""
        return max(self.high - self.value, self.value - self.low)

    def __str__(self) -> str:
        interval = "" if self.low == self.high else f" ({self.low:.3g}–{self.high:.3g})"
        return f"{self.title} {self.value:.3g}{interval}"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a result.

    Attributes:
        targets: what is predicted.
        modalities: what is read.
        choice: of the score.
        metrics: of `evaluation.measure`.
        split: what the rows measured on are called.
        advice: makes commands.
        config: of the run, with what its table decided.
    And of `fit` alone:
        sizes: rows per split.
        on_train: {target: its metrics} on some of the train rows; empty where there was no time.
        history: rows of the history file.
        steps: that training made.
        plan: of the time limit, if there was one.
        stopped: why training stopped before its end, or None.
        diverged: where, if that was why.
        hardly: the sentence where it hardly began.
        suspects: columns that may not be what they seem.
    And of `evaluate` alone:
        before: the metrics of the run itself; empty where they are not known.
    """

    targets: Sequence[Target]
    modalities: Sequence[ModalitySpec]
    choice: Choice
    metrics: Mapping[str, Any]
    split: str
    advice: Advice
    config: FitConfig
    sizes: Mapping[str, int] = field(default_factory=dict)
    on_train: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    history: Sequence[Mapping[str, float]] = ()
    steps: int = 0
    plan: Plan | None = None
    stopped: str | None = None
    diverged: Divergence | None = None
    hardly: Sequence[str] = ()
    suspects: Sequence[Suspect] = ()
    before: Mapping[str, Any] = field(default_factory=dict)

    @property
    def measured_rows(self) -> str:
        """What the rows measured on are called, behind their number."""
        return "rows" if self.split == "all" else f"{self.split} rows"

    def scores(self, metrics: Mapping[str, Any] | None = None) -> dict[str, Score]:
        """{target: its score}, of the targets that were measured."""
        found = by_target(self.targets, self.metrics if metrics is None else metrics)
        return {t.name: Score.of(t, found[t.name], self.choice) for t in self.targets if t.name in found}

    @property
    def train_scores(self) -> dict[str, Score]:
        """The same on train rows."""
        return self.scores({"tasks": self.on_train}) if self.on_train else {}
