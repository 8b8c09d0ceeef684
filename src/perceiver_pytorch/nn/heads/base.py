"""What every head of a modality promises."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from perceiver_pytorch.nn.heads.in_pieces import MeanAndMax


class Head(nn.Module, ABC):
    """Answers from the tokens of one modality, or of a few that belong together, without the latents.

    Attributes:
        name: what saved models call it.
    """

    name: ClassVar[str]

    @classmethod
    @abstractmethod
    def suited(cls, channels: Sequence[int], lengths: Sequence[int | None], size: int) -> "Head":
        """A head for such tokens, with fresh weights.

        Args:
            channels: of a token of each modality that it reads.
            lengths: how many tokens a row has of each; None: it varies.
            size: of the answer.
        """

    @abstractmethod
    def forward(
        self,
        tokens: Sequence[Shaped[Tensor, "batch *axes channels"] | MeanAndMax],
        masks: Sequence[Bool[Tensor, "batch *axes"] | None],
    ) -> Float[Tensor, "batch size"]:
        """The answer for each row; a row without any token gets some finite one.

        Args:
            tokens: of each modality that it reads; what masked ones hold does not matter. Of a modality whose rows
                differ in length they may come as their `MeanAndMax`.
            masks: which of them are real; None: all.
        """

    @abstractmethod
    def to_config(self) -> dict[str, Any]:
        """The arguments of the constructor, as JSON values."""
