"""Settings that an experiment changes: by the names that `perceiver config` prints, checked as those of a run."""

from collections.abc import Mapping
from typing import Any

from perceiver_pytorch import _checks
from perceiver_pytorch._settings import Setting, all_settings, typed
from perceiver_pytorch.experiments.spec import Path_
from perceiver_pytorch.training.table.settings import FitConfig

_SETTINGS: dict[Path_, Setting] = {tuple(setting.path.split(".")): setting for setting in all_settings(FitConfig)}
_OWN = {("data", "table"): "sets say which table", ("training", "seed"): "seeds says which seeds"}


def read_changes(where: str, given: Any) -> dict[Path_, Any]:
    """Settings by their keys, of nested mappings or dotted names."""
    if not isinstance(given, Mapping):
        raise TypeError(f"{where} must be a mapping of settings, got {given!r}")
    found: dict[Path_, Any] = {}

    def collect(prefix: Path_, values: Mapping[Any, Any]) -> None:
        for key, value in values.items():
            path = (*prefix, *str(key).split("."))
            if path not in _SETTINGS and isinstance(value, Mapping) and any(s[: len(path)] == path for s in _SETTINGS):
                collect(path, value)
            else:
                path = setting_path(where, ".".join(path))
                found[path] = setting_value(where, path, value)

    collect((), given)
    return found


def setting_path(where: str, name: Any) -> Path_:
    """The keys of the setting called ``name``; ValueError where there is none."""
    path = tuple(text_of(where, name).split("."))
    if path in _OWN:
        raise ValueError(f"{where}: {name} is not for a configuration: {_OWN[path]}")
    if path not in _SETTINGS:
        names = [setting.path for setting in _SETTINGS.values()]
        close = _checks.did_you_mean(name, names)
        raise ValueError(f"{where}: there is no setting {name!r}{close}; perceiver config prints them all")
    return path


def size_path(where: str, name: Any) -> Path_:
    """The keys of a size of the model."""
    path = setting_path(where, name)
    if path[0] != "model" or int not in _SETTINGS[path].types:
        raise ValueError(f"{where} must be a size of the model such as model.embedding_dim, got {name}")
    return path


def setting_value(where: str, path: Path_, value: Any) -> Any:
    """``value``, if the setting can have it."""
    setting = _SETTINGS[path]
    name = f"{where}: {setting.path}"
    value = typed(name, value, setting.hint)
    setting.knob.validate(name, value)
    return value


def text_of(where: str, given: Any) -> str:
    """``given``, if it is a text that is not empty."""
    if not isinstance(given, str) or not given.strip():
        raise TypeError(f"{where} must be a text, got {given!r}")
    return given
