"""Stems: what turns a modality's raw data into the tokens that a model attends to.

A stem is an `nn.Module` with an attribute ``channels`` and
``forward(data, mask, coordinates) -> (data, mask, coordinates)``; `Stem` says what they are. `STEMS` lists those that a
saved configuration can name.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from torch import nn

from perceiver_pytorch import _checks
from perceiver_pytorch._plugins import plugins
from perceiver_pytorch.nn.stems.base import Coordinates, Reach, Stem, kept, strided_coordinates, strided_mask
from perceiver_pytorch.nn.stems.convolution import ConvolutionStem
from perceiver_pytorch.nn.stems.numbers import NumbersStem
from perceiver_pytorch.nn.stems.patch import PatchStem
from perceiver_pytorch.nn.stems.words import WordStem

__all__ = [
    "STEMS",
    "ConvolutionStem",
    "Coordinates",
    "NumbersStem",
    "PatchStem",
    "Reach",
    "Stem",
    "WordStem",
    "kept",
    "stem_config",
    "stem_from_config",
    "stems",
    "strided_coordinates",
    "strided_mask",
]

STEMS: dict[str, type[Stem]] = {stem.name: stem for stem in (ConvolutionStem, NumbersStem, PatchStem, WordStem)}
"""The stems of this package by name."""


@cache  # a model asks for each of its stems, and installed packages take milliseconds to search
def stems() -> Mapping[str, type[Stem]]:
    """`STEMS`, and those that other packages register under the entry point group ``perceiver.stems``."""
    return STEMS | {stem.name: stem for stem in plugins("perceiver.stems")}


def stem_from_config(config: Mapping[str, Any]) -> Stem:
    """A stem with fresh weights.

    Args:
        config: ``name``, and the arguments of its class.

    Raises:
        ValueError, TypeError: for an unknown name or wrong arguments.
    """
    arguments = dict(config)
    known = stems()
    return known[_checks.choice("name of a stem", arguments.pop("name", None), tuple(known))](**arguments)


def stem_config(stem: nn.Module) -> dict[str, Any]:
    """What `stem_from_config` makes such a stem of; of a module that is no registered `Stem` its class alone, which a
    model can be told of, but not loaded with."""
    if isinstance(stem, Stem) and stems().get(stem.name) is type(stem):
        return {"name": stem.name, **stem.to_config()}
    return {"class": type(stem).__name__}
