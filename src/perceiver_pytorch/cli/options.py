"""Options of the commands that train, made of the knobs of their settings."""

import functools
import inspect
import keyword
import typing
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from perceiver_pytorch._saved_files import parse_yaml
from perceiver_pytorch._settings import Setting, all_settings
from perceiver_pytorch.training.language.settings import PRESETS as LANGUAGE_PRESETS
from perceiver_pytorch.training.table.settings import PRESETS

PANELS = ("Data", "Model", "Training", "Run")
"""The headings of a command's help, in their order."""

Given = dict[tuple[str, ...], Any]
"""What the options of a command say: values by their keys, as `overlaid` takes them."""


def _preset(names: Iterable[str]) -> Any:
    """The option that names one of some presets."""
    return typer.Option("--preset", metavar=f"[{'|'.join(names)}]", help="Size of the model.", rich_help_panel="Model")


Preset = Annotated[str, _preset(PRESETS)]
LanguagePreset = Annotated[str, _preset(LANGUAGE_PRESETS)]
NewRun = Annotated[
    Path | None,
    typer.Option(  # torchrun takes --run for an option of its own
        "--run", "--run-folder", help="Folder to write the run to; default: runs/NAME.", rich_help_panel="Run"
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(help="YAML file with any of the settings that `perceiver config` prints.", rich_help_panel="Run"),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Any setting, such as model.depth=4. Repeatable.", rich_help_panel="Run"
    ),
]
TimeLimit = Annotated[
    str | None,
    typer.Option(
        help="The longest that all of it takes, with the report: 90s, 5m, 1h30m.",
        rich_help_panel="Run",
    ),
]
Resume = Annotated[
    str | None,
    typer.Option(
        metavar="[RUN]",
        help="Continue a stopped run; default: the one of --run. docs/settings.md says which settings may change.",
        rich_help_panel="Run",
    ),
]


class GroupedCommand(TyperCommand):
    """A command whose help has its headings in the order of `PANELS`, whatever the order of the options."""

    def get_params(self, ctx: Any) -> list[Any]:
        """All parameters; those under the same heading stand together, other headings come last."""
        rank = {panel: i for i, panel in enumerate(PANELS)}
        return sorted(super().get_params(ctx), key=lambda p: rank.get(getattr(p, "rich_help_panel", ""), len(rank)))


def with_settings(
    cls: type, order: str, only: Sequence[str] | None = None
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Gives a command an option for every knob of ``cls`` that has one.

    The command is called with ``given``, what these options say, and with the options that it declares itself.

    Args:
        order: names of the parameters in the order of the command line; others come last.
        only: the options that it is given, as the command line spells them; None: all.
    """
    names = order.split()

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        own = _own(command)
        settings = {_parameter_name(setting): setting for setting in all_settings(cls) if setting.knob.option}
        settings = {name: each for name, each in settings.items() if only is None or each.knob.option in only}
        settings = {name: setting for name, setting in settings.items() if name not in {p.name for p in own}}

        def called(**values: Any) -> int:
            given: Given = {}
            for name, setting in settings.items():
                given |= _given(setting, values.pop(name))
            return command(given, **values)

        parameters = [*(_parameter(setting, setting.panel) for setting in settings.values()), *own]
        parameters.sort(key=lambda p: names.index(p.name) if p.name in names else len(names))
        return _with_parameters(called, command, parameters)

    return decorate


READING = (
    *("--on-error", "--allow-outside", "--allow-web", "--where", "--encoding", "--skip-lines"),
    *("--header/--no-header", "--quoting", "--table-mb", "--cell-mb", "--workers"),
)
"""How a table is read that a model is used on."""


def with_options(cls: type, *options: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Gives a command some of the options of ``cls``, behind its own; it is called with them by their names.

    Args:
        options: as the command line spells them.
    """
    settings = {setting.knob.option: setting for setting in all_settings(cls)}

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        parameters = [*_own(command), *(_parameter(settings[option], None) for option in options)]
        return _with_parameters(lambda **values: command(**values), command, parameters)

    return decorate


def option_of(cls: type, path: str) -> Any:
    """What typer is told about the option of one setting, for a command that declares it itself."""
    (setting,) = (setting for setting in all_settings(cls) if setting.path == path)
    return _info(setting, setting.panel)


def set_values(pairs: Iterable[str] | None) -> Given:
    """What ``--set KEY=VALUE`` says; the values are YAML."""
    return {tuple(key.split(".")): value for key, value in yaml_pairs("--set", "KEY", pairs).items()}


def yaml_pairs(option: str, word: str, pairs: Iterable[str] | None) -> dict[str, Any]:
    """What an option says that is given as often as wanted; the values are YAML."""
    expected = f"{option} must be {word}=VALUE"
    given = {}
    for text in pairs or ():
        key, value = pair(text, expected)
        try:
            given[key] = parse_yaml(value)
        except ValueError as error:
            raise ValueError(f"{expected} with a value in YAML, got {text[:80]!r} ({error})") from None
    return given


def pair(text: str, expected: str) -> tuple[str, str]:
    """The two sides of ``NAME=VALUE``; ValueError for anything else, worded by what was ``expected``."""
    name, equals, value = text.rpartition("=")
    if not equals or not name:
        raise ValueError(f"{expected}, got {text!r}")
    return name, value


def sentence(help: str) -> str:
    """The help of a knob as commands print it, who write nothing where YAML has null."""
    return f"{help[0].upper()}{help[1:]}.".replace("; null: ", "; default: ")


def _own(command: Callable[..., int]) -> list[inspect.Parameter]:
    """The parameters that a command declares itself."""
    parameters = inspect.signature(command).parameters.values()
    own = [p for p in parameters if p.name != "given" and p.kind is not inspect.Parameter.VAR_KEYWORD]
    return [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]


def _with_parameters(
    called: Callable[..., int], command: Callable[..., int], parameters: list[inspect.Parameter]
) -> Callable[..., int]:
    """``called`` with the name of ``command``, and the parameters that typer makes options of."""
    functools.update_wrapper(called, command)
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {p.name: p.annotation for p in parameters}
    return called


def _given(setting: Setting, value: Any) -> Given:
    """What one option says; nothing if it is left out."""
    keys = tuple(setting.path.split("."))
    if value is None or value == [] or (value is False and _is_flag(setting)):
        return {}
    if dict in setting.types:
        return {(*keys, name): entry for name, entry in (_entry(setting, text) for text in value)}
    if list in setting.types and str in setting.types and len(value) == 1:
        return {keys: value[0]}
    if _is_number_or_word(setting) and value.lstrip("-").isdecimal():
        return {keys: int(value)}
    return {keys: value}


def _entry(setting: Setting, text: str) -> tuple[str, Any]:
    """An entry of a mapping, as NAME=VALUE."""
    expected = f"{setting.knob.option} must be {setting.knob.metavar}"
    name, value = pair(text, expected)
    _, kind = typing.get_args(setting.hint)
    try:
        return name, kind(value)
    except ValueError:
        raise ValueError(f"{expected} with a number, got {text!r}") from None


def _parameter(setting: Setting, panel: str | None) -> inspect.Parameter:
    """The parameter that typer makes an option of; it stands in the help under the heading ``panel``."""
    kind = list[str] if _is_repeatable(setting) else str if _is_number_or_word(setting) else setting.types[0]
    default = False if _is_flag(setting) else None
    annotation = Annotated[kind if default is False else kind | None, _info(setting, panel)]  # type: ignore[valid-type]
    return inspect.Parameter(
        _parameter_name(setting), inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def _info(setting: Setting, panel: str | None) -> Any:
    text = sentence(setting.knob.help) + (" Repeatable." if _is_repeatable(setting) else "")
    option, choices = str(setting.knob.option), setting.knob.choices
    if not option.startswith("-"):
        return typer.Argument(help=text)
    metavar = setting.knob.metavar or (f"[{'|'.join(map(str, choices))}]" if choices else None)
    return typer.Option(option, help=text, metavar=metavar, rich_help_panel=panel)


def _parameter_name(setting: Setting) -> str:
    """That of the option, with an underscore behind a word that Python keeps for itself."""
    name = str(setting.knob.option).partition("/")[0].lstrip("-").replace("-", "_")
    return f"{name}_" if keyword.iskeyword(name) else name


def _is_repeatable(setting: Setting) -> bool:
    return bool({list, dict} & set(setting.types))


def _is_number_or_word(setting: Setting) -> bool:
    return {int, str} <= set(setting.types) and not _is_repeatable(setting)


def _is_flag(setting: Setting) -> bool:
    """Whether the option takes no value and has no opposite."""
    return setting.types == [bool] and "/" not in str(setting.knob.option)
