"""How long training on a table is, how many rows a step has, and how often the model is validated."""

import math
from dataclasses import dataclass, replace

from perceiver_pytorch.training.table.settings import TrainingConfig

BATCHES, LEAST_ROWS, MOST_ROWS = 16, 8, 64
"""Few rows are cut into about so many batches, of so many rows at least and at most."""
PASSES, FEWEST, MANY = 30, 1_500, 20_000
"""Passes over the rows where nothing is said, but at least and at most so many steps: few rows need the steps, and many
rows do not need the passes. One pass is made in any case."""
LONGER = 4
"""A time limit may lead to so many times the steps, if there is time for them."""
SHORTEST = 50
"""Steps of a round."""
VALIDATED = 8.0
"""Train rows of a round for each validation row. A train row costs about three times as much, so that validation takes
about a twentieth of the time."""
LEAST_VALIDATED = 256
"""Validation rows that a validation within training may read in any case. It reads no more of them than training has
read rows since the one before, so that it takes less time, however short rounds are."""


@dataclass(frozen=True)
class Rounds:
    """What was asked for, or suits the rows.

    Attributes:
        batch_size: rows of a step.
        steps: in all.
        most_steps: in all where a time limit leaves time for them.
        length: steps of a round, which ends with a validation; None: a round is a pass over the train rows.
        pass_steps: steps of a pass over the train rows.
        choosing: whether a validation reads enough rows to choose the best weights by.
        validated: rows that a validation within training reads.
    """

    batch_size: int
    steps: int
    most_steps: int
    length: int | None
    pass_steps: float
    choosing: bool
    validated: int


def plan_rounds(training: TrainingConfig, train_rows: int, val_rows: int) -> Rounds:
    """From the settings and the numbers of rows alone."""
    suited = min(MOST_ROWS, max(LEAST_ROWS, train_rows // BATCHES), max(1, train_rows))
    batch = suited if training.batch_size is None else training.batch_size
    whole_passes = training.validate_every == 0
    a_pass = math.ceil(train_rows / batch) if whole_passes else train_rows / batch
    steps, most = _steps(training, a_pass)
    length = training.validate_every or math.ceil(max(SHORTEST, VALIDATED * val_rows / batch))
    length = min(length, steps)
    most_rows = training.validate_rows
    if most_rows is None:
        most_rows = max(LEAST_VALIDATED, train_rows if whole_passes else length * batch)
    validated = min(most_rows, val_rows) if most_rows else val_rows
    return Rounds(
        batch_size=batch,
        steps=steps,
        most_steps=most,
        length=None if whole_passes else length,
        pass_steps=a_pass,
        choosing=validated >= training.choose_from,
        validated=validated,
    )


def settled(training: TrainingConfig, rounds: Rounds) -> TrainingConfig:
    """The settings with what was chosen where nothing was said: resuming must not depend on a rule."""
    return replace(
        training,
        batch_size=rounds.batch_size,
        steps=rounds.steps if training.epochs is None else None,
        validate_every=rounds.length or 0,
        validate_rows=rounds.validated,
    )


def _steps(training: TrainingConfig, a_pass: float) -> tuple[int, int]:
    """How many steps there are, and how many where a time limit leaves time for them."""
    if training.steps is not None:
        return training.steps, training.steps
    if training.epochs is not None:
        steps = math.ceil(training.epochs * a_pass)
        return steps, steps
    steps = math.ceil(max(FEWEST, a_pass, min(PASSES * a_pass, MANY)))
    return steps, LONGER * steps
