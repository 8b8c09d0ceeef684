"""Which score chooses the best epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perceiver_pytorch.data.errors import listed

if TYPE_CHECKING:
    from perceiver_pytorch.data.targets import Target

SUITED, PLAIN = "suited", "plain"
SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "map", "micro_f1", "r2")
"""Of all kinds of targets; here without them, since settings load faster than torch does."""


@dataclass(frozen=True)
class Choice:
    """Which score chooses the best epoch.

    Attributes:
        by: ``"suited"`` (`Target.suited_score`), ``"plain"`` (`Target.score_name`), or one of `Target.scores`; targets
            that have no such score take the suited one.
        balanced: classes count alike (macro F1) instead of rows (accuracy).
    """

    by: str = SUITED
    balanced: bool = False

    def of(self, target: "Target") -> str:
        """Its name for one target."""
        if self.by in target.scores:
            return self.by
        return target.score_name(self.balanced) if self.by == PLAIN else target.suited_score(self.balanced)

    def check(self, targets: "Sequence[Target]") -> None:
        """Raises a `ValueError` if no target has the score."""
        if self.by in SCORES and not any(self.by in target.scores for target in targets):
            known = ", ".join(dict.fromkeys(name for target in targets for name in target.scores))
            raise ValueError(
                f"choose_by must be a score of the targets, got {self.by!r}; "
                f"{listed([target.name for target in targets])} can be chosen by {known or self.of(targets[0])}"
            )
