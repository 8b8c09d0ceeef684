"""Numbers of a table's columns: each column has weights of its own, and waves that tell near values apart."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from perceiver_pytorch import _checks
from perceiver_pytorch.nn.init import normal
from perceiver_pytorch.nn.stems.base import Coordinates, Stem, kept


class NumbersStem(Stem):
    """A token per column: a linear layer of the column's own over its values and over sines and cosines of the first.

    The frequencies are learned ("On Embeddings for Numerical Features in Tabular Deep Learning", Gorishniy et al. 2022,
    section 3.3: periodic, linear, ReLU). A missing number has a learned token per column.

    Args:
        columns: how many a row has.
        input_channels: of a column's data; the last one is 1 where its number is missing, else 0.
        channels: of a token.
        num_frequencies: waves per column.
        frequency: deviation of their frequencies at the start, in turns per unit of the first channel.

    Raises:
        ValueError, TypeError: for sizes that are no positive numbers, or data of less than 2 channels.
    """

    name: ClassVar[str] = "numbers"
    rows_by_id: ClassVar[tuple[str, ...]] = ("frequencies", "weight", "bias", "missing")

    def __init__(
        self, columns: int, input_channels: int, channels: int = 16, num_frequencies: int = 16, frequency: float = 0.2
    ) -> None:
        super().__init__()
        self.columns = _checks.positive_int("columns", columns)
        self.input_channels = _checks.positive_int("input_channels", input_channels, minimum=2)
        self.channels = _checks.positive_int("channels", channels)
        self.num_frequencies = _checks.positive_int("num_frequencies", num_frequencies)
        self.frequency = _checks.within("frequency", frequency, above=0)
        features = 2 * num_frequencies + input_channels - 1
        self.frequencies = normal(columns, num_frequencies, std=frequency)
        self.weight = normal(columns, features, channels, std=1 / math.sqrt(features))
        self.bias = nn.Parameter(torch.zeros(columns, channels))
        self.missing = normal(columns, channels, std=1 / math.sqrt(features))

    def to_config(self) -> dict[str, Any]:
        return {
            "columns": self.columns,
            "input_channels": self.input_channels,
            "channels": self.channels,
            "num_frequencies": self.num_frequencies,
            "frequency": self.frequency,
        }

    def forward(
        self, data: Tensor, mask: Tensor | None, coordinates: Coordinates | None
    ) -> tuple[Tensor, Tensor | None, Coordinates | None]:
        values, gaps = kept(data, mask).to(self.weight.dtype).split([self.input_channels - 1, 1], dim=-1)
        angles = (2 * math.pi) * values[..., :1] * self.frequencies  # (batch, columns, frequencies)
        features = torch.cat([values, angles.sin(), angles.cos()], dim=-1)
        by_column = torch.baddbmm(self.bias[:, None], features.transpose(0, 1), self.weight)
        tokens = torch.where(gaps > 0, self.missing, by_column.transpose(0, 1).relu())
        return kept(tokens, mask), mask, coordinates
