"""Settings as frozen dataclasses.

A `knob` is the one place of an option. Its YAML key, its option on the command line, its keyword in Python and its row
in docs/settings.md come from there.
"""

import copy
import dataclasses
import functools
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

from perceiver_pytorch import _checks
from perceiver_pytorch._saved_files import fitting, read_yaml

S = TypeVar("S")

_EXPONENT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")
"""A number such as 1e-4, which YAML 1.1 takes for text: it wants a point and the sign of the exponent."""


@dataclass(frozen=True)
class Search:
    """What ``perceiver tune`` tries of a setting: some values, or numbers between two.

    Attributes:
        values: to choose from; the other fields do not count then.
        low, high: both are tried; whole numbers for a setting that is one.
        log: as often between 1 and 10 as between 10 and 100.
    """

    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False


@dataclass(frozen=True, kw_only=True)
class Knob:
    """What a setting has besides its name, type and default.

    Attributes:
        help: one line.
        choices: the values it may have; None is always allowed where the type allows it.
        least, most, above, below: bounds of a number; the last two exclude the bound itself.
        check: called with the name and the value; raises a `ValueError` for a wrong one.
        option: how the command spells it: ``--lr``, ``--stream/--no-stream``, or a word for an argument. None: only
            ``--set`` and YAML give it.
        metavar: what the command's help writes for the value.
        panel: the heading of the command's help under which it stands, if it is not its class's.
        keyword: its name as a Python keyword, if it is not the field's.
        after: the inherited setting that it follows in YAML; "": it comes first. None: the one declared before it.
        resumable: whether it may change when a stopped run goes on, or where it may: ``"data.on_error=raise"``.
        before: what runs did that began before the knob was there, and whose configuration does not name it.
        search: what ``perceiver tune`` tries of it, if nothing else is asked for; None: it is left alone.
    """

    help: str
    choices: Sequence[Any] | None = None
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    check: Callable[[str, Any], Any] | None = None
    option: str | None = None
    metavar: str | None = None
    panel: str | None = None
    keyword: str | None = None
    after: str | None = None
    resumable: bool | str = False
    before: Any = field(default_factory=lambda: MISSING)
    search: Search | None = None

    def validate(self, name: str, value: Any) -> None:
        """Raises a `ValueError` for a value that is no choice, is out of bounds, or fails the check."""
        if value is None:
            return
        if self.choices is not None:
            _checks.choice(name, value, self.choices)
        _checks.within(name, value, self.least, self.most, above=self.above, below=self.below)
        if self.check is not None:
            self.check(name, value)


def knob(default: Any, help: str, **details: Any) -> Any:
    """A field of `Settings` with its default, its one-line help and the details of a `Knob`."""
    return _field(default, Knob(help=help, **details))


def inherited(owner: type, name: str, *, default: Any = MISSING, **changes: Any) -> Any:
    """The knob ``name`` of a base class, for a subclass that changes its default or other details."""
    known = next(f for f in dataclasses.fields(owner) if f.name == name)
    return _field(_default(known) if default is MISSING else default, dataclasses.replace(_knob(known), **changes))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of a group of knobs: checks the type and the bounds of every value."""

    panel: ClassVar[str] = "Settings"
    """The heading of the command's help under which the options of this group stand."""

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for f in dataclasses.fields(self):
            value = typed(f.name, getattr(self, f.name), hints[f.name])
            object.__setattr__(self, f.name, value)
            if "knob" in f.metadata:
                _knob(f).validate(f.name, value)


def combined(name: str, *parts: type[Settings]) -> Any:
    """A class of settings that has the knobs of several, in their order; a part may be given more than once.

    Raises:
        ValueError: if two of the parts declare a knob of one name.
    """
    given = [part for part in dict.fromkeys(parts) if dataclasses.fields(part)]
    owner: dict[str, type] = {}
    for part in given:
        for f in dataclasses.fields(part):
            if f.name in owner:
                raise ValueError(f"{part.__name__} and {owner[f.name].__name__} both declare {f.name!r}; rename one")
            owner[f.name] = part
    # A dataclass has the fields of its last base first.
    cls = type(name, tuple(reversed(given)) or (Settings,), {"__doc__": f"The knobs of {', '.join(map(str, owner))}."})
    return dataclass(frozen=True, kw_only=True)(cls)


def typed(name: str, value: Any, hint: Any) -> Any:
    """``value``, if it fits the annotation; an integer is taken for a float, a list for a tuple."""
    try:
        return _fitted(value, hint)
    except TypeError:
        raise TypeError(f"{name} must be {' or '.join(map(_worded, _options(hint)))}, got {value!r}") from None


@dataclass(frozen=True)
class Setting:
    """One knob of a tree of settings.

    Attributes:
        path: its dotted path, as in YAML.
        hint: its type.
        default: its default.
        panel: the heading of the command's help under which it stands.
        knob: all else.
    """

    path: str
    hint: Any
    default: Any
    panel: str
    knob: Knob

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]

    @property
    def types(self) -> list[type]:
        """The types that it may have, without none."""
        return [typing.get_origin(hint) or hint for hint in _options(self.hint) if hint is not type(None)]

    @property
    def keyword(self) -> str:
        """Its name as a keyword in Python."""
        return self.knob.keyword or self.name


def all_settings(cls: type, place: str = "") -> Iterator[Setting]:
    """Every knob of a tree of settings, in the order of its YAML file."""
    hints = typing.get_type_hints(cls)
    for f in in_order(cls):
        path = f"{place}{f.name}"
        if dataclasses.is_dataclass(hints[f.name]):
            yield from all_settings(hints[f.name], f"{path}.")
        else:
            yield Setting(path, hints[f.name], _default(f), _knob(f).panel or cls.panel, _knob(f))  # type: ignore[attr-defined]


def value_at(settings: Any, path: str) -> Any:
    """The value at a dotted path."""
    return functools.reduce(getattr, path.split("."), settings)


def in_order(cls: Any) -> list[dataclasses.Field[Any]]:
    """The fields of a dataclass; those that follow an inherited one are moved there."""
    placed: list[dataclasses.Field[Any]] = []
    place = 0
    for f in dataclasses.fields(cls):
        after = _knob(f).after if "knob" in f.metadata else None
        if after is not None:
            place = [other.name for other in placed].index(after) + 1 if after else 0
        placed.insert(place, f)
        place += 1
    return placed


def read_settings(cls: type[S], given: Any, *, base: S | None = None, place: str = "") -> S:
    """A ``cls`` from nested mappings (as YAML gives them); what is not given is taken from ``base`` or the defaults.

    Raises:
        ValueError, TypeError: for unknown keys or values; the message names the place.
    """
    if not isinstance(given, Mapping):
        raise TypeError(f"{place or 'the configuration'} must be a mapping, got {given!r}")
    hints = typing.get_type_hints(cls)
    _checks.known_keys(place or "the configuration", given, [f.name for f in in_order(cls)])
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


def overlaid(base: S, given: Mapping[tuple[str, ...], Any]) -> S:
    """``base`` with some values changed.

    Args:
        given: values by their keys, as ``{("model", "depth"): 4}``; keys that lead into a mapping change its entry.

    Raises:
        ValueError, TypeError: for unknown keys or values; the message names the place.
    """
    tree: dict[str, Any] = {}
    for keys, value in given.items():
        node, part = tree, cast(Any, base)
        for depth, key in enumerate(keys[:-1], 1):
            part = part.get(key) if isinstance(part, Mapping) else getattr(part, key, None)
            node = node.setdefault(key, copy.deepcopy(part) if isinstance(part, dict) else {})
            if not isinstance(node, dict):
                raise TypeError(f"{'.'.join(keys[:depth])} must be a mapping for {'.'.join(keys)}, got {node!r}")
        node[keys[-1]] = value
    return read_settings(type(base), tree, base=base)


def with_keywords(base: S, options: Mapping[str, Any]) -> S:
    """``base`` with the settings that keywords of Python name: ``epochs=3, lr=1e-3``; dotted paths are taken, too.

    Raises:
        TypeError: for a keyword that is no setting.
        ValueError, TypeError: for a value that the setting cannot have; the message names the setting.
    """
    paths: dict[str, list[str]] = {}
    for setting in all_settings(type(base)):
        for name in {setting.path, setting.keyword}:
            paths.setdefault(name, []).append(setting.path)
    for name in options:
        if name not in paths:
            close = _checks.did_you_mean(name, paths)
            raise TypeError(f"there is no setting {name!r}{close}; docs/settings.md lists them all")
        if len(paths[name]) > 1:
            raise TypeError(f"{name!r} may mean {' or '.join(paths[name])}; give the one that is meant in full")
    return overlaid(base, {tuple(paths[name][0].split(".")): value for name, value in options.items()})


def to_yaml(settings: Any, indent: int = 0) -> str:
    """All knobs as YAML, each with its help as a comment; `read_settings` reads it back."""
    lines = []
    for f in in_order(settings):
        value = getattr(settings, f.name)
        pad = "  " * indent
        if dataclasses.is_dataclass(value):
            lines += ["" if indent == 0 else None, f"{pad}{f.name}:", to_yaml(value, indent + 1)]
            continue
        text = yaml_value(value)
        choices = _knob(f).choices
        options = f" ({', '.join(map(str, choices))})" if choices else ""
        lines.append(f"{pad}# {_knob(f).help}{options}")
        lines.append(f"{pad}{f.name}: {text}")
    return "\n".join(line for line in lines if line is not None)


def yaml_value(value: Any) -> str:
    """One value as YAML on one line."""
    import yaml

    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def load_config(path: Path, base: S) -> S:
    """``base`` with what the YAML file at ``path`` says.

    Raises:
        DamagedFileError: for a file that is no YAML mapping, unknown keys or values; the message names the file.
        OSError: if the file cannot be read.
    """
    given = read_yaml(path)
    with fitting(path, "a mapping of settings"):
        return read_settings(type(base), given, base=base)


def as_before(base: S) -> S:
    """``base`` with what knobs were ``before`` they were there: what the configuration of a run leaves out means."""
    known = {tuple(setting.path.split(".")): setting.knob.before for setting in all_settings(type(base))}
    return overlaid(base, {path: value for path, value in known.items() if value is not MISSING})


def dump_config(config: Settings) -> str:
    """The whole configuration as YAML with comments."""
    return to_yaml(config).lstrip("\n") + "\n"


def _knob(f: "dataclasses.Field[Any]") -> Knob:
    return f.metadata["knob"]


def _field(default: Any, details: Knob) -> Any:
    if isinstance(default, list | dict):
        return field(default_factory=functools.partial(copy.deepcopy, default), metadata={"knob": details})
    return field(default=default, metadata={"knob": details})


def _default(f: "dataclasses.Field[Any]") -> Any:
    return f.default if f.default_factory is MISSING else f.default_factory()


def _options(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def _worded(hint: Any) -> str:
    return (
        "none" if hint is type(None) else str(hint).replace("typing.", "") if typing.get_args(hint) else hint.__name__
    )


def _fitted(value: Any, hint: Any) -> Any:
    """``value`` as one of the types of ``hint``; TypeError if it fits none."""
    for option in _options(hint):
        kind, inner = typing.get_origin(option) or option, typing.get_args(option)
        if kind is Any:
            return value
        if kind is float and type(value) is int:
            return float(value)
        if kind is float and isinstance(value, str) and _EXPONENT.fullmatch(value):
            return float(value)
        if kind is tuple and isinstance(value, list):
            value = tuple(value)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            continue
        if kind is dict and inner:
            return {_fitted(key, inner[0]): _fitted(entry, inner[1]) for key, entry in value.items()}
        if kind in (list, tuple) and inner:
            return kind(_fitted(entry, inner[0]) for entry in value)
        return value
    raise TypeError
