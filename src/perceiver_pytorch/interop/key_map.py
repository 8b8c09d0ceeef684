"""How the names of one library's weights become those of another: tables of patterns, with an inverse."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor

from perceiver_pytorch._checks import some_of

T = TypeVar("T")


@dataclass(frozen=True)
class Rule:
    """One line of a key map.

    Args:
        source: pattern of names there. ``{word}`` stands for one part of a name (anything without a dot), ``{*word}``
            for any number of parts.
        target: pattern of names here, with the same words; several where one tensor there is several here, one below
            the other (keys and values in one linear layer).
    """

    source: str
    target: str | tuple[str, ...]

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.target,) if isinstance(self.target, str) else self.target


def translate(weights: Mapping[str, Tensor], rules: Sequence[Rule]) -> dict[str, Tensor]:
    """``weights`` under our names; the first rule whose source matches a name holds for it.

    Raises:
        ValueError: for names that no rule knows, and for two that would become one.
    """
    translated: dict[str, Tensor] = {}
    unknown = []
    for name, tensor in weights.items():
        match = _first_match(name, ((rule.source, rule) for rule in rules))
        if match is None:
            unknown.append(name)
            continue
        words, rule = match
        names = [_filled(target, words) for target in rule.targets]
        for target, part in zip(names, tensor.chunk(len(names)) if len(names) > 1 else [tensor], strict=True):
            if target in translated:
                raise ValueError(f"two weights would be called {target!r}; the second is {name!r}")
            translated[target] = part
    if unknown:
        raise ValueError(f"weights that the model has no place for: {some_of(unknown)}")
    return translated


def translate_back(weights: Mapping[str, Tensor], rules: Sequence[Rule]) -> dict[str, Tensor]:
    """The inverse of `translate`: our weights under the other library's names."""
    parts: dict[str, dict[int, Tensor]] = {}
    for name, tensor in weights.items():
        patterns = ((target, (rule, i)) for rule in rules for i, target in enumerate(rule.targets))
        match = _first_match(name, patterns)
        if match is None:
            raise ValueError(f"weights that have no name there: {name}")
        words, (rule, place) = match
        parts.setdefault(_filled(rule.source, words), {})[place] = tensor
    return {
        name: torch.cat([found[i] for i in sorted(found)]) if len(found) > 1 else found[0]
        for name, found in parts.items()
    }


def _first_match(name: str, patterns: Iterable[tuple[str, T]]) -> tuple[dict[str, str], T] | None:
    for pattern, value in patterns:
        if match := _expression(pattern).fullmatch(name):
            return match.groupdict(), value
    return None


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    escaped = re.escape(pattern)
    escaped = re.sub(r"\\\{\\\*(\w+)\\\}", r"(?P<\1>.+)", escaped)
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^.]+)", escaped))


def _filled(pattern: str, words: Mapping[str, str]) -> str:
    return re.sub(r"\{\*?(\w+)\}", lambda match: words[match[1]], pattern)
