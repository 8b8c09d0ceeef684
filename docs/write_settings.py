"""Writes docs/settings.md from the settings themselves: python docs/write_settings.py"""

import dataclasses
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from perceiver_pytorch import _checks
from perceiver_pytorch._settings import Setting, all_settings
from perceiver_pytorch.training.language.settings import LanguageConfig
from perceiver_pytorch.training.table.settings import FitConfig

WORDS = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    list: "list",
    dict: "values by name",
}
PAGE = Path(__file__).parent / "settings.md"
INTRODUCTION = """# Settings

Every setting of `perceiver fit` and `perceiver language`, with its default. `python docs/write_settings.py` writes this
page from the code.

- **On the command line**, use the option where the table has one, else `--set KEY=VALUE`: `--set model.depth=4`.
- **In a file** for `--config`, write what `perceiver config` prints, or a part of it. Options win over the file, and
  the file wins over `--preset`.
- **In Python**, the keyword is the last part of the key, as in `epochs=3`.
{keywords}- **When a stopped run goes on** (`--resume`), only the settings marked *resume* may change: the weights do
  not depend on them.
"""


def page() -> str:
    """The text of docs/settings.md."""
    renamed = [f"`{s.path}` is `{s.keyword}`" for s in all_settings(FitConfig) if s.keyword != s.name]
    lines = [INTRODUCTION.format(keywords=f"  But {' and '.join(renamed)}.\n" if renamed else "")]
    for title, config in (("perceiver fit", FitConfig), ("perceiver language", LanguageConfig)):
        lines += [f"## `{title}`", "", *_table(s for s in all_settings(config) if s.path == s.name)]
        for key, part in _parts(config):
            lines += [f"### `{key}`", "", str(part.__doc__).splitlines()[0], ""]
            lines += _table(all_settings(part, f"{key}."))
    return "\n".join(lines)


def _parts(config: type) -> Iterator[tuple[str, type]]:
    """The sections of a configuration by their keys."""
    for name, hint in typing.get_type_hints(config).items():
        if dataclasses.is_dataclass(hint):
            yield name, typing.cast(type, hint)


def _table(settings: Iterable[Setting]) -> list[str]:
    rows = [row(setting) for setting in settings]
    head = ["| key | option | values | default | what it does |", "|---|---|---|---|---|"]
    return [*head, *rows, ""] if rows else []


def row(setting: Setting) -> str:
    """The row of a setting in its table."""
    default = yaml.safe_dump(setting.default, default_flow_style=True).removesuffix("\n").removesuffix("\n...")
    help = setting.knob.help[0].upper() + setting.knob.help[1:] + "." + _resumable(setting.knob.resumable)
    option = f"`{setting.knob.option}`" if setting.knob.option else ""
    return f"| `{setting.path}` | {option} | {_values(setting)} | `{default}` | {help} |"


def _values(setting: Setting) -> str:
    """The values that a setting may have."""
    knob = setting.knob
    null = " or null" if setting.default is None else ""
    if knob.choices is not None:
        return ", ".join(f"`{choice}`" for choice in knob.choices) + null
    _, _, bounds = _checks.bounds(knob.least, knob.most, knob.above, knob.below).partition(" ")
    kinds = " or ".join(WORDS[kind] for kind in setting.types)
    return kinds + (f" {bounds}" if bounds else "") + null


def _resumable(when: bool | str) -> str:
    if isinstance(when, str):
        return f" (*resume*, with `{when.replace('=', ': ')}`)"
    return " (*resume*)" if when else ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
