"""Commands that ask for a configuration: typed, they ask for that configuration."""

import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import perceiver_pytorch.cli.fit
from cli_helpers import perceiver
from perceiver_pytorch._settings import with_keywords
from perceiver_pytorch.training.table.command import changed_words, fit_call, fit_command
from perceiver_pytorch.training.table.settings import FitConfig, preset


def typed(command: str, folder, monkeypatch) -> FitConfig:
    """The configuration that a typed command asks for."""
    asked = []
    monkeypatch.setattr(perceiver_pytorch.cli.fit, "train", lambda task, *args, **kwargs: asked.append(task.config))
    program, *words = shlex.split(command)
    assert program == "perceiver"
    perceiver(*words, cwd=folder, check=False)
    return asked[0]


NAMES = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "Zs")), min_size=1, max_size=8).filter(
    lambda name: "=" not in name and name == name.strip()
)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "target": st.one_of(NAMES, st.lists(NAMES, min_size=2, max_size=3, unique=True)),
        "columns": st.dictionaries(NAMES, st.sampled_from(["ignore", "number", "image"]), max_size=3),
        "task_weights": st.dictionaries(NAMES, st.sampled_from([0.5, 2.0]), max_size=2),
        "label_separator": st.sampled_from(["-", "|", "; "]),
        "stream": st.booleans(),
        "allow_outside": st.just(True),
        "augment": st.just(False),
        "steps": st.integers(1, 10**6),
        "lr": st.sampled_from([1e-4, 0.25]),
        "delimiter": st.sampled_from([";", "\t"]),
        "modality_dropout": st.sampled_from([0.0, 0.5]),
        "depth": st.integers(1, 4),
        "image_flip": st.sampled_from([0.0, 0.5]),
        "word_decay": st.none(),
    },
)


@settings(max_examples=8, deadline=None)
@given(name=st.sampled_from(["auto", "tiny", "small", "base"]), changes=CHANGES)
def test_a_command_that_is_typed_asks_for_the_configuration(tmp_path_factory, name, changes):
    config = with_keywords(preset(name, "t.csv"), {"table": "my table.csv", **changes})
    with pytest.MonkeyPatch.context() as patch:
        assert typed(fit_command(config), tmp_path_factory.mktemp("typed"), patch) == config


def test_a_preset_and_a_built_in_table_say_what_they_imply():
    assert fit_command(preset("auto", "digits")) == "perceiver fit --target answer --modality-dropout 0.1"
    config = with_keywords(preset("small", "digits"), {"table": "digits", "steps": 7})
    assert fit_command(config) == "perceiver fit digits --steps 7 --preset small"
    assert fit_command(config, "--time-limit", "5m", command="plan").startswith("perceiver plan digits")


def test_changes_are_part_of_it():
    config = with_keywords(preset("auto"), {"table": "t.csv", "target": "y"})
    changes = {("data", "columns", "a b"): "ignore"}
    assert fit_command(config, changes=changes) == "perceiver fit t.csv --target y --column 'a b=ignore'"
    assert changed_words(config, changes) == ["--column", "a b=ignore"]
    with pytest.raises(ValueError, match="num_latents"):
        fit_command(config, changes={("model", "num_latents"): 0})


def test_a_table_in_memory_is_fitted_by_a_call():
    config = with_keywords(preset("auto"), {"table": "table", "target": "y", "steps": 3, "columns": {"a": "ignore"}})
    assert fit_call(config, time_limit="5m") == "fit(table, 'y', time_limit='5m', columns={'a': 'ignore'}, steps=3)"
    found = {}
    exec(fit_call(config), {"fit": lambda table, target, **more: found.update(more)}, {"table": None})
    assert with_keywords(preset("auto"), {"table": "table", "target": "y", **found}) == config
