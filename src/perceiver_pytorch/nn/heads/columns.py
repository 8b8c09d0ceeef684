"""A head that reads the columns of a row together, whatever they hold."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from perceiver_pytorch import _checks
from perceiver_pytorch.nn.heads.base import Head
from perceiver_pytorch.nn.heads.in_pieces import MeanAndMax
from perceiver_pytorch.nn.heads.pooled import mean_and_max
from perceiver_pytorch.nn.init import normal
from perceiver_pytorch.nn.randomness import dropped, integers

Pick = Tensor | tuple[slice, None]
"""Whose adapters a layer takes: a member per row, or all members, one after another."""


class ColumnsHead(Head):
    """A perceptron over all tokens of a row at once, each at its own inputs; several members share its weights. Of a
    modality whose rows differ in length it reads the mean and the maximum of the tokens.

    A member scales inputs and outputs of each layer by learned numbers of its own, and has the last layer for itself.
    In training each row goes through one member, drawn at random; the answer is the mean of all members. So it is an
    ensemble at the price of one perceptron ("BatchEnsemble", Wen et al. 2020; "TabM", Gorishniy et al. 2024).

    Args:
        channels: of a token of each modality.
        lengths: how many tokens a row has of each; None: it varies.
        size: of the answer.
        hidden: channels of the hidden layers.
        num_layers: hidden layers.
        members: how many there are.
        dropout: of the hidden layers.

    Raises:
        ValueError, TypeError: for sizes that are no positive numbers, or a dropout outside of 0 to 1.
    """

    name: ClassVar[str] = "columns"

    def __init__(
        self,
        channels: Sequence[int],
        lengths: Sequence[int | None],
        size: int,
        hidden: int = 192,
        num_layers: int = 2,
        members: int = 8,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.channels = [_checks.positive_int("each of channels", count) for count in channels]
        self.lengths = [
            None if length is None else _checks.positive_int("each of lengths", length) for length in lengths
        ]
        if not len(self.channels) == len(self.lengths) > 0:
            raise ValueError(f"channels and lengths must have one number per modality, got {channels} and {lengths}")
        self.size, self.hidden = _checks.positive_int("size", size), _checks.positive_int("hidden", hidden)
        self.num_layers = _checks.within(
            "num_layers", _checks.positive_int("num_layers", num_layers), most=_checks.MAX_BLOCKS
        )
        self.members, self.dropout = _checks.positive_int("members", members), _checks.probability("dropout", dropout)
        inputs = sum(count * (length or 2) for count, length in zip(self.channels, self.lengths, strict=True))
        widths = [inputs] + [hidden] * num_layers
        self.layers = nn.ModuleList(
            MemberLinear(*pair, members, signs=i == 0) for i, pair in enumerate(itertools.pairwise(widths))
        )
        self.weight = normal(members, hidden, size, std=0.5 / math.sqrt(hidden))
        self.bias = nn.Parameter(torch.zeros(members, size))

    @classmethod
    def suited(cls, channels: Sequence[int], lengths: Sequence[int | None], size: int) -> "ColumnsHead":
        return cls(channels, lengths, size)

    def forward(
        self,
        tokens: Sequence[Shaped[Tensor, "batch *_"] | MeanAndMax],  # axes and channels of each modality
        masks: Sequence[Bool[Tensor, "batch *_"] | None],
    ) -> Float[Tensor, "batch size"]:
        read = zip(tokens, masks, self.lengths, strict=True)
        x = torch.cat([_inputs(*each) for each in read], dim=-1).to(self.weight.dtype)
        if not self.training:
            x = self._hidden(x[None], (slice(None), None))
            return (x @ self.weight + self.bias[:, None]).mean(0)
        who = integers(self.members, x.shape[:1], x.device)
        x = self._hidden(x, who)
        return torch.einsum("bh,bho->bo", x, self.weight[who]) + self.bias[who]

    def _hidden(self, x: Tensor, pick: Pick) -> Tensor:
        for layer in self.layers:
            x = F.silu(layer(x, pick))
            if self.training:
                x = dropped(x, self.dropout)
        return x

    def to_config(self) -> dict[str, Any]:
        return {
            "channels": self.channels,
            "lengths": self.lengths,
            "size": self.size,
            "hidden": self.hidden,
            "num_layers": self.num_layers,
            "members": self.members,
            "dropout": self.dropout,
        }


class MemberLinear(nn.Module):
    """A linear layer that members share, between scales of their own: ``((x * before) @ weight) * after + bias``.

    Args:
        inputs, outputs: channels.
        members: how many there are.
        signs: members start from inputs of random signs, so that they differ; else all start alike.
    """

    signs: Tensor

    def __init__(self, inputs: int, outputs: int, members: int, *, signs: bool) -> None:
        super().__init__()
        self.weight = normal(inputs, outputs, std=1 / math.sqrt(inputs))
        # Scales are kept as what they differ by from where they start, since weight decay draws parameters to 0.
        self.before = nn.Parameter(torch.zeros(members, inputs))
        self.after = nn.Parameter(torch.zeros(members, outputs))
        self.bias = normal(members, outputs, std=0.1)
        drawn = torch.ones(members, inputs)
        if not drawn.is_meta:  # there PyTorch would load its compiler for it
            drawn = torch.randint(0, 2, (members, inputs)) * 2.0 - 1
        self.register_buffer("signs", drawn if signs else torch.ones(members, inputs))

    def forward(self, x: Float[Tensor, "... inputs"], pick: Pick) -> Float[Tensor, "... outputs"]:
        scaled = x * (self.signs[pick] + self.before[pick])
        return (scaled @ self.weight) * (1 + self.after[pick]) + self.bias[pick]


def _inputs(data: Tensor | MeanAndMax, mask: Tensor | None, length: int | None) -> Tensor:
    """``(batch, inputs)`` of a modality: its tokens one after another, 0 wherever the mask is False, or their mean and
    maximum."""
    if length is None or isinstance(data, MeanAndMax):
        return torch.cat(mean_and_max(data, mask), dim=-1)
    return (data if mask is None else data.masked_fill(~mask.unsqueeze(-1), 0.0)).flatten(1)
