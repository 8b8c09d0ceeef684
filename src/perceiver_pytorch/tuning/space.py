"""What is searched: settings, and the values that are tried of each."""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from perceiver_pytorch import _checks
from perceiver_pytorch._saved_files import parse_yaml
from perceiver_pytorch._settings import Search, Setting, all_settings, overlaid, typed
from perceiver_pytorch.training.table.settings import FitConfig

_SETTINGS = {setting.path: setting for setting in all_settings(FitConfig)}
_LOG_FROM = 10
"""Numbers whose largest is so many times the smallest are tried on a logarithmic scale."""
_EXPECTED = "--search must be KEY, KEY=LOW..HIGH or KEY=VALUE,VALUE"


class Trial(Protocol):
    """What Optuna suggests values by."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...
    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> float: ...
    def suggest_int(self, name: str, low: int, high: int, *, log: bool) -> int: ...


@dataclass(frozen=True)
class Dimension:
    """A setting that is searched.

    Attributes:
        path: its key, such as ``training.lr``.
        search: what is tried.
    """

    path: str
    search: Search

    def suggested(self, trial: Trial) -> Any:
        """The value of a trial."""
        search = self.search
        if search.values:
            return trial.suggest_categorical(self.path, list(search.values))
        if int in _SETTINGS[self.path].types:
            return trial.suggest_int(self.path, int(search.low), int(search.high), log=search.log)
        return trial.suggest_float(self.path, search.low, search.high, log=search.log)

    def __str__(self) -> str:
        search = self.search
        if search.values:
            return f"{self.path} ({', '.join(map(str, search.values))})"
        return f"{self.path} ({search.low:g} to {search.high:g}{', logarithmic' if search.log else ''})"

    def to_json(self) -> dict[str, Any]:
        search = self.search
        return {
            "path": self.path,
            "values": list(search.values),
            "low": search.low,
            "high": search.high,
            "log": search.log,
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> "Dimension":
        return cls(given["path"], Search(tuple(given["values"]), given["low"], given["high"], given["log"]))


def search_space(asked: Sequence[str], fixed: Collection[str], base: FitConfig) -> list[Dimension]:
    """What is searched.

    Args:
        asked: ``KEY``, ``KEY=LOW..HIGH`` or ``KEY=VALUE,VALUE`` each; none: every setting that declares what is tried.
        fixed: keys of settings that the user gave a value; they are searched only if asked for.
        base: all settings.

    Raises:
        ValueError, TypeError: for what is no setting, or values that it cannot have; the message names it.
    """
    found = [_parsed(text) for text in asked] or [
        Dimension(path, setting.knob.search)
        for path, setting in _SETTINGS.items()
        if setting.knob.search is not None and path not in fixed
    ]
    if not found:
        raise ValueError("nothing is left to search: every setting has a value; name some with --search KEY=LOW..HIGH")
    for path, count in Counter(dimension.path for dimension in found).items():
        if count > 1:
            raise ValueError(f"--search names {path} {count} times")
    for dimension in found:
        for value in dimension.search.values or _ends(dimension):
            overlaid(base, {tuple(dimension.path.split(".")): value})
    return found


def configured(base: FitConfig, values: Mapping[str, Any]) -> FitConfig:
    """``base`` with the values of a trial, by their keys.

    Raises:
        ValueError, TypeError: for values that do not go together.
    """
    return overlaid(base, {tuple(path.split(".")): value for path, value in values.items()})


def _parsed(text: str) -> Dimension:
    path, equals, given = text.partition("=")
    _checks.choice("the key of --search", path, tuple(_SETTINGS))
    setting = _SETTINGS[path]
    if not equals:
        return Dimension(path, _of_itself(setting))
    low, dots, high = given.partition("..")
    if not dots:
        return Dimension(path, Search(tuple(_value(setting, part) for part in given.split(","))))
    ends = _number(setting, low, text), _number(setting, high, text)
    if not ends[0] < ends[1]:
        raise ValueError(f"{_EXPECTED} with LOW below HIGH, got {text!r}")
    return Dimension(path, Search((), *ends, log=ends[0] > 0 and ends[1] >= _LOG_FROM * ends[0]))


def _of_itself(setting: Setting) -> Search:
    """What a setting declares, or the values that it may have."""
    if setting.knob.search is not None:
        return setting.knob.search
    if setting.types == [bool]:
        return Search((False, True))
    if setting.knob.choices:
        return Search(tuple(setting.knob.choices))
    low, high = setting.knob.least, setting.knob.most
    if low is not None and high is not None and {int, float} & set(setting.types):
        return Search((), low, high)
    raise ValueError(
        f"--search {setting.path} needs what to try: {setting.path}=LOW..HIGH or {setting.path}=VALUE,VALUE"
    )


def _value(setting: Setting, text: str) -> Any:
    value = parse_yaml(text.strip())
    return typed(setting.path, value, setting.hint)


def _number(setting: Setting, text: str, whole: str) -> float:
    if not {int, float} & set(setting.types):
        raise ValueError(f"{setting.path} is no number: {_EXPECTED}, got {whole!r}")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (int in setting.types and float not in setting.types and value != int(value)):
        kind = "whole numbers" if int in setting.types else "numbers"
        raise ValueError(f"{_EXPECTED}, with {kind} for {setting.path}, got {whole!r}")
    return value


def _ends(dimension: Dimension) -> tuple[float, float]:
    ends = dimension.search.low, dimension.search.high
    return (int(ends[0]), int(ends[1])) if int in _SETTINGS[dimension.path].types else ends
