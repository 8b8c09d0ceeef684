"""A configuration as its user would type it: what a message advises is a whole command."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from perceiver_pytorch._settings import Setting, all_settings, overlaid, value_at, yaml_value
from perceiver_pytorch.training.table.settings import PRESETS, FitConfig, preset

Changes = Mapping[tuple[str, ...], Any]
"""Values by their keys, as `overlaid` takes them."""


def fit_command(config: FitConfig, *more: str, changes: Changes | None = None, command: str = "fit") -> str:
    """The shortest command that asks for a configuration.

    Args:
        config: what was asked for.
        more: further words, such as ``--time-limit 5m``.
        changes: what is to be other than it was.
        command: ``fit``, or another one with its options.

    Raises:
        ValueError, TypeError: for changes that do not go with the configuration.
    """
    wanted = overlaid(config, changes or {})
    return shlex.join(["perceiver", command, *_shortest(wanted), *more])


def changed_words(config: FitConfig, changes: Changes) -> list[str]:
    """The words that change some settings of a configuration."""
    wanted = overlaid(config, changes)
    return [word for setting in _changed(wanted, config) for word in _words(setting, wanted, config)]


def fit_call(config: FitConfig, base: FitConfig | None = None, /, **more: Any) -> str:
    """The same for a table in memory, as a call in Python.

    Args:
        config: what is to be asked for.
        base: what ``more`` says already; None: nothing but the table and its target.
        more: further arguments.
    """
    usual = base or preset("auto")
    paths = [setting.path for setting in _changed(config, usual) if setting.path not in ("data.table", "data.target")]
    keywords = {setting.path: setting.keyword for setting in all_settings(FitConfig)}
    names = [*keywords.values()]
    plain = {keywords[path]: value_at(config, path) for path in paths if names.count(keywords[path]) == 1}
    others = {path: value_at(config, path) for path in paths if names.count(keywords[path]) > 1}
    words = [f"{name}={value!r}" for name, value in {**more, **plain}.items()]
    words += [f"**{others!r}"] if others else []
    return f"fit({', '.join(['table', repr(config.data.target), *words])})"


def _shortest(config: FitConfig) -> list[str]:
    """The words that ask for a configuration, from whichever preset that takes the fewest."""
    found = []
    for name in PRESETS:
        base = preset(name, config.data.table)
        words = [word for setting in _changed(config, base) for word in _words(setting, config, base)]
        found.append(words if name == "auto" else [*words, "--preset", name])
    return min(found, key=len)


def _changed(config: FitConfig, base: FitConfig) -> Iterator[Setting]:
    for setting in all_settings(FitConfig):
        if value_at(config, setting.path) != value_at(base, setting.path):
            yield setting


def _words(setting: Setting, config: FitConfig, base: FitConfig) -> list[str]:
    """How the command line says one setting."""
    value, before, option = value_at(config, setting.path), value_at(base, setting.path), setting.knob.option
    if option is None or value is None:
        return _set(setting, value)
    if not option.startswith("-"):
        return [value]
    if setting.types == [bool]:
        yes, _, no = option.partition("/")
        return [yes] if value else [no] if no else _set(setting, value)
    if isinstance(value, dict):
        if not before.keys() <= value.keys() or not all(isinstance(entry, str | float) for entry in value.values()):
            return _set(setting, value)
        told = [f"{name}={entry}" for name, entry in value.items() if before.get(name) != entry]
        return [word for text in told for word in (option, text)]
    values = value if isinstance(value, list) else [value]
    if not values:
        return _set(setting, value)
    texts = [str(each) for each in values]
    return [word for text in texts for word in ([f"{option}={text}"] if text.startswith("-") else [option, text])]


def _set(setting: Setting, value: Any) -> list[str]:
    return ["--set", f"{setting.path}={yaml_value(value)}"]
