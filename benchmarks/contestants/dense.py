"""The input array: what contestants without modalities are given, built inside the timed forward.

A token is ``[data | zero padding | position features of each axis | one-hot modality code]``, as in release 1.4.0. The
array is allocated once and filled in place: the cheapest way to build it.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmarks.cases import Case, Modality


def token_channels(case: Case) -> int:
    """Channels of every token."""
    code = 0 if case.model == "Perceiver" else len(case.modalities)
    return code + max(_raw_channels(case, m) + _position_channels(m) for m in case.modalities)


def input_array(case: Case, inputs: dict[str, Tensor]) -> Tensor:
    """Tokens of all modalities of ``inputs``, in the order of their names, ``(batch, tokens, channels)``, float32.

    Args:
        case: tells the position encodings and codes.
        inputs: per modality ``(batch, *axes, channels)``, any dtype (token ids: embedded by the caller).
    """
    chosen = sorted((m for m in case.modalities if m.name in inputs), key=lambda m: m.name)
    batch = inputs[chosen[0].name].shape[0]
    array = torch.empty(batch, sum(m.num_tokens for m in chosen), token_channels(case))
    start = 0
    for modality in chosen:
        # (batch, tokens, channels) -> (batch, *axes, channels), a view to fill
        part = array[:, start : start + modality.num_tokens].unflatten(1, modality.axes)
        _fill(part, case, modality, inputs[modality.name])
        start += modality.num_tokens
    return array


def embedded_tokens(case: Case, modality: Modality, embedded: Tensor, layer: int) -> Tensor:
    """Tokens of embedded text in one layer, which sees its chunk of the embedding; differentiable."""
    width = _raw_channels(case, modality)
    chunk = embedded[..., layer * width : (layer + 1) * width]
    rest = torch.empty(1, *modality.axes, token_channels(case))
    _fill(rest, case, modality, torch.zeros(1, *modality.axes, width))
    return torch.cat((chunk, rest[..., width:].expand(*chunk.shape[:-1], -1)), dim=-1)


class DenseInput(nn.Module):
    """Builds the input array of any case and gives it to ``model``, ``(batch, tokens, channels) -> (batch, classes)``.

    Text is embedded here. Every layer of ``model`` reads one array, so all see the first chunk of the embedding: as
    many tokens and channels as in the case, and as much work.
    """

    def __init__(self, case: Case, model: nn.Module) -> None:
        super().__init__()
        self.case, self.model = case, model
        self.text = [m for m in case.modalities if m.vocabulary]
        self.embeddings = nn.ModuleDict({m.name: nn.Embedding(m.vocabulary, m.width) for m in self.text})

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        arrays = [input_array(self.case, {k: v for k, v in inputs.items() if k not in self.embeddings})]
        for modality in self.text:
            embedded = self.embeddings[modality.name](inputs[modality.name].squeeze(-1))
            arrays.append(embedded_tokens(self.case, modality, embedded, layer=0))
        return self.model(arrays[0] if len(arrays) == 1 else torch.cat(arrays, dim=1))


def _raw_channels(case: Case, modality: Modality) -> int:
    """Raw channels that one layer sees."""
    return modality.width // case.depth if modality.vocabulary else modality.channels


def _position_channels(modality: Modality) -> int:
    return len(modality.axes) * (2 * modality.num_freq_bands + 1)


def _fill(part: Tensor, case: Case, modality: Modality, data: Tensor) -> None:
    """Writes one modality's tokens ``(batch, *axes, channels)``."""
    raw = data.shape[-1]
    code = 0 if case.model == "Perceiver" else len(case.modalities)
    position = part.shape[-1] - code - _position_channels(modality)
    part[..., :raw] = data
    part[..., raw:position] = 0
    for axis, table in enumerate(_tables(modality)):
        view = [1] * (part.dim() - 1) + [table.shape[1]]
        view[1 + axis] = table.shape[0]
        part[..., position : position + table.shape[1]] = table.view(view)
        position += table.shape[1]
    if code:
        part[..., position:] = 0
        part[..., position + sorted(m.name for m in case.modalities).index(modality.name)] = 1


def _tables(modality: Modality) -> Sequence[Tensor]:
    """Per axis ``[sin πfx | cos πfx | x]`` of coordinates x from -1 to 1; f logarithmic from 2 to max_freq / 2."""
    bands = torch.logspace(1.0, math.log2(modality.max_freq / 2), modality.num_freq_bands, base=2.0)
    tables = []
    for length in modality.axes:
        x = torch.linspace(-1.0, 1.0, length)[:, None]
        angles = x * bands * math.pi
        tables.append(torch.cat((angles.sin(), angles.cos(), x), dim=1))
    return tables
