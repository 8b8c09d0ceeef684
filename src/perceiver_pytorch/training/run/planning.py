"""How many steps a time limit leaves: decided early in training, and kept in the checkpoints.

Everything that depends on the limit follows from this number of steps: where the learning rate ends, and where training
does. A run whose steps turn out faster or slower decides anew, now and then. One that is killed and resumed keeps what
its checkpoint holds, so it goes on to the same weights, however fast it then is.
"""

from dataclasses import dataclass

SHARE = 0.95
"""Of the time that seems to be left. Steps may take longer where others use the machine; but a schedule that is cut
off shortly before its end costs less than unused time."""
FOR_RESULT = 0.15
"""Of the time left, for measuring, where that can do with less."""
FASTER, SLOWER = 1.5, 1 / 1.15
"""Steps that there is time for, of those that a plan has left, beyond which it is made anew."""


@dataclass(frozen=True)
class Plan:
    """What was decided, and from what.

    Attributes:
        begun: steps done when it was decided.
        steps: steps in all.
        whole: steps without a limit.
        limit: seconds.
        step_seconds: of a step.
        validation_seconds: of a validation.
        closing_seconds: of what comes after training: measuring, and the report.
        fallen: the share of the fall of the learning rate that lay behind; None: this is the first plan, and the
            schedule without a limit says it.
    """

    begun: int
    steps: int
    whole: int
    limit: float
    step_seconds: float
    validation_seconds: float
    closing_seconds: float
    fallen: float | None = None

    @property
    def shorter(self) -> bool:
        """Whether the limit ends training before its time."""
        return self.steps < self.whole

    def __str__(self) -> str:
        steps = f"{self.steps:,} of {self.whole:,}" if self.shorter else f"{self.steps:,}"
        result = f"{self.closing_seconds:.0f} s for the result"
        return f"the time limit of {self.limit:g} s leaves time for {steps} steps, and {result}"


@dataclass(frozen=True)
class Costs:
    """Seconds that parts of a job take.

    Attributes:
        step: of a step.
        validation: of a validation.
        closing: of what comes after training.
    """

    step: float
    validation: float
    closing: float

    def planned(
        self, left: float, *, limit: float, whole: int, most: int | None, steps_per_round: int, begun: int = 0
    ) -> Plan:
        """How many steps there is time for.

        Args:
            left: seconds until the end of the job.
            limit: seconds that it has in all.
            whole: steps without a limit.
            most: steps where there is time for more; None: no more.
            steps_per_round: steps between two validations.
            begun: steps done already.
        """
        more = affordable_steps(left - self.closing, self.step, self.validation, steps_per_round)
        steps = min(most or whole, begun + more)
        return Plan(begun, steps, whole, limit, self.step, self.validation, self.closing)

    def seconds(self, steps: int, steps_per_round: int) -> float:
        """What training takes, its validations and what comes after it."""
        return steps * self.step + -(-steps // steps_per_round) * self.validation + self.closing


def closing_seconds(closing: float, measured: tuple[int, int], batch: float, left: float | None = None) -> float:
    """What comes after training takes.

    Args:
        closing: seconds of all but measuring.
        measured: batches that the result is measured on, at most and at least.
        batch: seconds of one.
        left: seconds until the end of the job, a share of which measuring may take; None: there is time for all.
    """
    most, least = (batch * count for count in measured)
    return closing + (most if left is None else max(least, min(most, FOR_RESULT * left)))


def affordable_steps(left: float, step: float, validation: float, steps_per_round: int) -> int:
    """Steps that fit into ``left`` seconds, with a validation after every round and one at the end."""
    return max(1, int((SHARE * left - validation) / (step + validation / steps_per_round)))
