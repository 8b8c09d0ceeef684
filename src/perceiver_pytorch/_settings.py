"""Settings as frozen dataclasses: each knob has its one-line help, and reads from and writes to YAML."""

import copy
import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from perceiver_pytorch import _checks

S = TypeVar("S")


def knob(
    default: Any,
    help: str,
    *,
    choices: tuple[Any, ...] | None = None,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
) -> Any:
    """A dataclass field with a one-line help, and the values it may take: some, or a number within bounds.

    Args:
        default: a value; a list or dict is copied for each instance.
        help: what the knob does, in one line.
        choices: the values that it may take.
        least, most: the smallest and the largest number that it may take.
        above: it must be larger than this number.
    """
    metadata = {"help": help, "choices": choices, "least": least, "most": most, "above": above}
    if isinstance(default, list | dict):
        return field(default_factory=lambda: copy.deepcopy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of a group of knobs: checks the type of every value, the choices and the bounds."""

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for f in dataclasses.fields(self):
            value = _typed(f.name, getattr(self, f.name), hints[f.name])
            if f.metadata.get("choices"):
                _checks.choice(f.name, value, f.metadata["choices"])
            if value is not None:
                _checks.within(f.name, value, *(f.metadata.get(bound) for bound in ("least", "most", "above")))
            object.__setattr__(self, f.name, value)


def read_settings(cls: type[S], given: Any, *, base: S | None = None, place: str = "") -> S:
    """A ``cls`` from nested mappings (as YAML gives them); what is not given is taken from ``base`` or the defaults.

    Raises:
        ValueError, TypeError: for unknown keys or values; the message names the place.
    """
    if not isinstance(given, Mapping):
        raise TypeError(f"{place or 'the configuration'} must be a mapping, got {given!r}")
    hints = typing.get_type_hints(cls)
    _checks.known_keys(place or "the configuration", given, hints)
    values: dict[str, Any] = {}
    for name, value in given.items():
        inner = f"{place}.{name}" if place else name
        if dataclasses.is_dataclass(hints[name]):
            part = None if base is None else getattr(base, name)
            values[name] = read_settings(hints[name], value, base=part, place=inner)
        else:
            values[name] = value
    try:
        return cls(**values) if base is None else dataclasses.replace(base, **values)  # type: ignore[type-var]
    except (ValueError, TypeError) as error:
        if place and not str(error).startswith(place):
            raise type(error)(f"{place}.{error}") from None
        raise


def with_path(tree: dict[str, Any], path: str, value: Any) -> None:
    """Sets ``value`` at a dotted path in nested mappings, making those that are missing."""
    *parents, last = path.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
    tree[last] = value


def to_yaml(settings: Any, indent: int = 0) -> str:
    """All knobs as YAML, each with its help as a comment; `read_settings` reads it back."""
    import yaml

    lines = []
    for f in dataclasses.fields(settings):
        value = getattr(settings, f.name)
        pad = "  " * indent
        if dataclasses.is_dataclass(value):
            lines += ["" if indent == 0 else None, f"{pad}{f.name}:", to_yaml(value, indent + 1)]
            continue
        text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False, allow_unicode=True)
        text = text.removesuffix("\n").removesuffix("\n...")
        if f.metadata.get("help"):
            choices = f.metadata.get("choices")
            options = f" ({', '.join(str(c) for c in choices)})" if choices else ""
            lines.append(f"{pad}# {f.metadata['help']}{options}")
        lines.append(f"{pad}{f.name}: {text}")
    return "\n".join(line for line in lines if line is not None)


def load_config(path: Path, base: S) -> S:
    """``base`` with what the YAML file at ``path`` says.

    Raises:
        ValueError, TypeError: for a file that is no YAML mapping, unknown keys or values; the message names the file.
        OSError: if the file cannot be read.
    """
    import yaml

    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return read_settings(type(base), given, base=base)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no YAML file: {error}") from None
    except (ValueError, TypeError) as error:
        raise type(error)(f"{path}: {error}") from None


def dump_config(config: Settings) -> str:
    """The whole configuration as YAML with comments."""
    return to_yaml(config).lstrip("\n") + "\n"


def _typed(name: str, value: Any, hint: Any) -> Any:
    """``value``, if it fits the annotation; an integer is taken for a float."""
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    plain = tuple(typing.get_origin(option) or option for option in options)
    if float in plain and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if (isinstance(value, bool) and bool not in plain) or not isinstance(value, plain):
        expected = " or ".join("none" if option is type(None) else option.__name__ for option in plain)
        raise TypeError(f"{name} must be {expected}, got {value!r}")
    return value
