"""How many steps a time limit leaves: decided early in training, and kept in the checkpoints.

Everything that depends on the limit follows from this number of steps: where the learning rate ends, and where training
does. A run whose steps turn out faster or slower decides anew, now and then. One that is killed and resumed keeps what
its checkpoint holds, so it goes on to the same weights, however fast it then is.
"""

from dataclasses import dataclass

SHARE = 0.95
"""Of the time that seems to be left. Steps may take longer where others use the machine; but a schedule that is cut
off shortly before its end costs less than unused time."""
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


def affordable_steps(left: float, step: float, validation: float, steps_per_round: int) -> int:
    """Steps that fit into ``left`` seconds, with a validation after every round and one at the end."""
    return max(1, int((SHARE * left - validation) / (step + validation / steps_per_round)))
