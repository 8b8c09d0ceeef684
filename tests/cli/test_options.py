"""One knob is the whole of an option: its YAML key, its option, help and keyword, and its row in the documentation."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from perceiver_pytorch._settings import Settings, all_settings, dump_config, knob, overlaid, with_keywords
from perceiver_pytorch.cli.options import GroupedCommand, NewRun, sentence, set_values, with_options, with_settings


@dataclass(frozen=True, kw_only=True)
class Kitchen(Settings):
    """What is cooked."""

    panel = "Data"

    minutes: int = knob(
        5, "minutes on the stove; null: until done", least=1, option="--minutes", keyword="cooking_time"
    )


@dataclass(frozen=True, kw_only=True)
class House(Settings):
    kitchen: Kitchen = Kitchen()


def command_of(cls, order=""):
    """A command with the options of some settings; it prints what it was given."""
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command(cls=GroupedCommand)
    @with_settings(cls, order)
    def cook(given, run: NewRun = None) -> int:
        """Cook a meal."""
        print(given, run)
        return 0

    return lambda *arguments: CliRunner().invoke(app, arguments, env={"COLUMNS": "150"})


def rows_of_the_documentation(cls):
    path = Path(__file__).parents[2] / "docs/write_settings.py"
    spec = importlib.util.spec_from_file_location("write_settings", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [module.row(setting) for setting in all_settings(cls)]


def test_one_knob_is_all_that_an_option_takes():
    assert yaml.safe_load(dump_config(House())) == {"kitchen": {"minutes": 5}}
    assert "# minutes on the stove" in dump_config(House())

    cook = command_of(House)
    assert cook("--minutes=7").stdout == "{('kitchen', 'minutes'): 7} None\n"
    assert cook().stdout == "{} None\n"
    help = cook("--help").stdout
    assert "Minutes on the stove; default: until done." in help
    assert help.index("Data") < help.index("--minutes") < help.index("Run") < help.index("--run")

    assert with_keywords(House(), {"cooking_time": 9}) == House(kitchen=Kitchen(minutes=9))
    with pytest.raises(ValueError, match=r"kitchen\.minutes must be at least 1, got 0"):
        with_keywords(House(), {"cooking_time": 0})

    (row,) = rows_of_the_documentation(House)
    cells = ["`kitchen.minutes`", "`--minutes`", "whole number at least 1", "`5`", "Minutes on the stove"]
    assert [cell in part for cell, part in zip(cells, row.strip("| ").split(" | "), strict=True)] == [True] * 5


@dataclass(frozen=True, kw_only=True)
class Sorts(Settings):
    """An option of every sort."""

    place: str = knob("", "an argument", option="place")
    one: str | list[str] = knob("", "one or several", option="--one")
    names: list[str] = knob([], "several", option="--name")
    weights: dict[str, float] = knob({"a": 1.0}, "a number each", option="--weight", metavar="NAME=WEIGHT")
    flag: bool = knob(False, "without an opposite", option="--flag")
    both: bool | None = knob(None, "with an opposite", option="--both/--no-both")
    from_where: str | None = knob(None, "a word of Python", option="--from")
    kind: str = knob("x", "a choice", choices=("x", "y"), option="--kind")
    hidden: int = knob(1, "no option")


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ([], {}),
        (["here"], {("place",): "here"}),
        (["--one=a"], {("one",): "a"}),
        (["--one=a", "--one=b"], {("one",): ["a", "b"]}),
        (["--name=a"], {("names",): ["a"]}),
        (["--weight=a.b=2", "--weight=c=3"], {("weights", "a.b"): 2.0, ("weights", "c"): 3.0}),
        (["--flag"], {("flag",): True}),
        (["--both"], {("both",): True}),
        (["--no-both"], {("both",): False}),
        (["--from=there"], {("from_where",): "there"}),
        (["--kind=z"], {("kind",): "z"}),
    ],
)
def test_options_of_every_type(arguments, given):
    done = command_of(Sorts)(*arguments)
    assert done.stdout == f"{given} None\n", done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--weight=a"], "--weight must be NAME=WEIGHT, got 'a'"),
        (["--weight=a=much"], "--weight must be NAME=WEIGHT with a number, got 'a=much'"),
    ],
)
def test_wrong_entries_are_named(arguments, message):
    error = command_of(Sorts)(*arguments).exception
    assert isinstance(error, ValueError)
    assert str(error) == message


def test_options_stand_in_the_order_that_the_command_gives():
    shown = [p.opts[0] for p in typer_parameters("run kind one")]
    assert shown[:3] == ["--run", "--kind", "--one"]
    assert set(shown) > {"place", "--name", "--weight", "--flag"}


def typer_parameters(order):
    app = typer.Typer()

    @app.command()
    @with_settings(Sorts, order)
    def cook(given, run: NewRun = None) -> int:
        """Cook a meal."""

    return typer.main.get_command(app).params


def test_choices_are_shown_in_the_help():
    help = command_of(Sorts)("--help").stdout
    assert "[x|y]" in help
    assert "Several. Repeatable." in help
    assert "hidden" not in help


def test_set_reads_yaml():
    assert set_values(["model.depth=4", "data.target=[a, b]"]) == {
        ("model", "depth"): 4,
        ("data", "target"): ["a", "b"],
    }
    with pytest.raises(ValueError, match="--set must be KEY=VALUE, got 'depth'"):
        set_values(["depth"])
    with pytest.raises(ValueError, match=r"--set must be KEY=VALUE with a value in YAML, got 'data.target=\[a'"):
        set_values(["data.target=[a"])


def test_entries_are_added_to_those_of_a_mapping():
    assert overlaid(Sorts(), {("weights", "b"): 2}).weights == {"a": 1.0, "b": 2.0}
    assert overlaid(Sorts(), {("weights",): {"b": 2}}).weights == {"b": 2.0}


def test_help_is_a_sentence():
    assert sentence("some text; null: all") == "Some text; default: all."


def test_a_command_may_have_some_of_the_options_behind_its_own():
    app = typer.Typer(add_completion=False)

    @app.command()
    @with_options(Sorts, "--flag", "--from", "--both/--no-both")
    def cook(place: str, **more) -> int:
        """Cook a meal."""
        print(place, more)
        return 0

    done = CliRunner().invoke(app, ["here", "--from=there"])
    assert done.stdout == "here {'flag': False, 'from_': 'there', 'both': None}\n"
    assert [p.opts[0] for p in typer.main.get_command(app).params] == ["place", "--flag", "--from", "--both"]
