import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from perceiver_pytorch._settings import (
    Settings,
    all_settings,
    as_before,
    dump_config,
    in_order,
    inherited,
    knob,
    load_config,
    overlaid,
    read_settings,
    value_at,
    with_keywords,
)


def odd(name, value):
    if value % 2 == 0:
        raise ValueError(f"{name} must be odd, got {value}")


@dataclass(frozen=True, kw_only=True)
class Sample(Settings):
    names: list[str] = knob(["a"], "some names")
    rate: float | None = knob(None, "a rate", above=0)
    share: float = knob(0.5, "a share", above=0, below=1)
    size: int = knob(3, "a size", least=1, most=9, check=odd)
    pair: tuple[str, ...] = knob((), "two names")
    weights: dict[str, float] = knob({}, "weights")
    nested: dict[str, dict[str, Any]] = knob({}, "anything by two names")
    origin: str | None = knob(None, "where from", choices=("first", "zero"))


@dataclass(frozen=True, kw_only=True)
class Whole(Settings):
    panel = "Model"

    part: Sample = Sample()
    depth: int = knob(2, "how deep", keyword="levels", panel="Run")


def test_a_knob_may_be_a_list_that_each_instance_has_for_itself():
    one, other = Sample(), Sample()
    assert one.names == ["a"]
    assert one.names is not other.names


def test_values_are_taken_as_their_types_have_them():
    sample = Sample(rate=1, pair=["a", "b"], weights={"a": 2}, nested={"a": {"b": None}}, origin="zero")
    assert (sample.rate, sample.pair, sample.weights) == (1.0, ("a", "b"), {"a": 2.0})
    assert isinstance(sample.rate, float)
    assert isinstance(sample.weights["a"], float)
    # YAML 1.1 reads numbers of these forms as text.
    for text in ("1e-4", "1E-4", "+1e-4", ".1e-3", "1.e-4"):
        sample = Sample(rate=text, weights={"a": text})
        assert (sample.rate, sample.weights) == (1e-4, {"a": 1e-4})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rate": 0}, "rate must be above 0, got 0"),
        ({"share": 1.0}, "share must lie between 0 and 1, exclusive, got 1.0"),
        ({"size": 0}, "size must lie between 1 and 9, got 0"),
        ({"size": 4}, "size must be odd, got 4"),
        ({"size": 3.0}, "size must be int, got 3.0"),
        ({"size": True}, "size must be int, got True"),
        ({"size": "1e1"}, "size must be int, got '1e1'"),
        ({"rate": "1e"}, "rate must be float or none, got '1e'"),
        ({"rate": "fast"}, "rate must be float or none, got 'fast'"),
        ({"names": ["a", 1]}, r"names must be list\[str\], got \['a', 1\]"),
        ({"names": "a"}, r"names must be list\[str\], got 'a'"),
        ({"weights": {"a": "much"}}, r"weights must be dict\[str, float\], got \{'a': 'much'\}"),
        ({"weights": {1: 2.0}}, r"weights must be dict\[str, float\]"),
        ({"nested": {"a": 1}}, r"nested must be dict\[str, dict\[str, Any\]\], got \{'a': 1\}"),
        ({"origin": "last"}, "origin must be one of 'first', 'zero'; got 'last'"),
    ],
)
def test_values_that_do_not_fit_are_named(given, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Sample(**given)


def test_every_setting_is_found_with_its_path_and_heading():
    found = {setting.path: setting for setting in all_settings(Whole)}
    assert list(found)[:2] == ["part.names", "part.rate"]
    assert list(found)[-1] == "depth"
    assert found["part.names"].default == ["a"]
    assert (found["part.rate"].panel, found["depth"].panel) == ("Settings", "Run")
    assert (found["part.rate"].keyword, found["depth"].keyword) == ("rate", "levels")
    assert (found["part.rate"].types, found["part.pair"].types, found["depth"].types) == ([float], [tuple], [int])
    assert value_at(Whole(), "part.size") == 3


@dataclass(frozen=True, kw_only=True)
class Base(Settings):
    first: int = knob(1, "first", least=0)
    last: int = knob(2, "last")


@dataclass(frozen=True, kw_only=True)
class Heir(Base):
    first: int = inherited(Base, "first", default=7, option="--first")
    own: int = knob(3, "own", after="first")
    other: int = knob(4, "other")
    top: int = knob(5, "top", after="")


def test_an_inherited_knob_changes_in_what_is_said_and_others_find_their_place():
    assert (Heir().first, Heir().last) == (7, 2)
    (setting,) = (setting for setting in all_settings(Heir) if setting.name == "first")
    assert (setting.knob.help, setting.knob.option) == ("first", "--first")
    with pytest.raises(ValueError, match="first must be at least 0, got -1"):
        Heir(first=-1)
    assert [field.name for field in in_order(Heir)] == ["top", "first", "own", "other", "last"]
    assert list(yaml.safe_load(dump_config(Heir()))) == ["top", "first", "own", "other", "last"]


def test_settings_are_written_and_read_back(tmp_path):
    whole = Whole(part=Sample(names=["b", "ü"], pair=["x"], nested={"c": {"d": [1]}}), depth=3)
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(whole), encoding="utf-8")
    assert load_config(path, Whole()) == whole
    assert "# where from (first, zero)" in dump_config(whole)


def test_what_is_not_given_stays():
    base = Whole(depth=4, part=Sample(size=5))
    assert read_settings(Whole, {"part": {"share": 0.1}}, base=base) == Whole(depth=4, part=Sample(size=5, share=0.1))


def test_a_file_that_is_no_yaml_is_named(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("model: [")
    with pytest.raises(ValueError, match=r"broken\.yaml is no YAML"):
        load_config(path, Whole())


def test_values_by_their_keys_change_settings_and_entries_of_mappings():
    base = Whole(part=Sample(weights={"a": 1.0}, nested={"x": {"y": 1}}))
    changed = overlaid(base, {("part", "weights", "b.c"): 2, ("part", "nested", "x", "z"): 3, ("depth",): 5})
    assert changed.part.weights == {"a": 1.0, "b.c": 2.0}
    assert changed.part.nested == {"x": {"y": 1, "z": 3}}
    assert changed.depth == 5
    assert base.part.weights == {"a": 1.0}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({("dept",): 1}, "the configuration has no 'dept'.*did you mean 'depth'"),
        ({("part", "siz"): 1}, "part has no 'siz'.*did you mean 'size'"),
        ({("pat", "size"): 1}, "the configuration has no 'pat'.*did you mean 'part'"),
        ({("part",): 1, ("part", "size"): 1}, "part must be a mapping for part.size, got 1"),
        ({("depth", "more"): 1}, "depth must be int, got {'more': 1}"),
    ],
)
def test_keys_that_lead_nowhere_are_named(given, message):
    with pytest.raises((ValueError, TypeError), match=message):
        overlaid(Whole(), given)


def test_keywords_name_settings():
    assert with_keywords(Whole(), {"levels": 3, "rate": 1, "part.size": 5}) == Whole(
        depth=3, part=Sample(rate=1.0, size=5)
    )
    with pytest.raises(TypeError, match=r"there is no setting 'level' \(did you mean 'levels'\?\)"):
        with_keywords(Whole(), {"level": 3})
    with pytest.raises(TypeError, match=r"part\.rate must be float or none, got 'fast'"):
        with_keywords(Whole(), {"rate": "fast"})


@dataclass(frozen=True, kw_only=True)
class Two(Settings):
    one: Base = Base()
    other: Base = Base()


def test_a_keyword_of_two_settings_is_refused():
    with pytest.raises(TypeError, match=r"'first' may mean one\.first or other\.first"):
        with_keywords(Two(), {"first": 3})
    assert with_keywords(Two(), {"other.first": 3}) == Two(other=Base(first=3))


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Sample().size = 5


@dataclass(frozen=True, kw_only=True)
class Grown(Settings):
    rate: float = knob(1.0, "as ever")
    rule: str = knob("new", "added later", before="old")


@dataclass(frozen=True, kw_only=True)
class Owner(Settings):
    grown: Grown = Grown()


def test_what_a_configuration_of_before_leaves_out_means_what_was_done_then(tmp_path):
    assert as_before(Owner(grown=Grown(rate=3.0))) == Owner(grown=Grown(rate=3.0, rule="old"))
    (tmp_path / "old.yaml").write_text("grown: {rate: 2}")
    assert load_config(tmp_path / "old.yaml", as_before(Owner())).grown == Grown(rate=2.0, rule="old")
    (tmp_path / "new.yaml").write_text("grown: {rule: new}")
    assert load_config(tmp_path / "new.yaml", as_before(Owner())).grown == Grown()
