"""What a YAML file may say, and what is said of one that is wrong."""

from pathlib import Path

import pytest

from experiment_helpers import TEXT, experiment
from perceiver_pytorch.experiments.reading import parse_experiment, read_experiment
from perceiver_pytorch.experiments.spec import OPERATIONS, Comparison, Match, Metric, Seeds


def test_settings_are_those_of_fit_nested_or_dotted() -> None:
    found = experiment()
    assert found.base["training", "steps"] == 2
    assert found.factor("text").level("split").changes == {("model", "split_embedding"): True}
    assert [level.changes for level in found.factor("depth").levels] == [{("model", "depth"): n} for n in (1, 2)]
    assert found.sets[0].changes == {("data", "target"): "label", ("data", "columns"): {"number": "ignore"}}


def test_levels_are_compared_with_the_first_unless_the_file_says_otherwise() -> None:
    assert experiment().comparisons == (Comparison("text", "text", "whole", ("split",)),)
    asked = "\ncomparisons: [{name: turned, factor: depth, baseline: 2, against: [1]}]"
    assert experiment(TEXT + asked).comparisons == (Comparison("turned", "depth", "2", ("1",)),)


def test_what_is_small_takes_the_place_of_what_is_large() -> None:
    quick = experiment(quick=True)
    assert [level.name for level in quick.factor("depth").levels] == ["2"]
    assert quick.seeds == Seeds((0,), 1)
    assert quick.quick
    assert len(quick.factor("text").levels) == 2


def test_a_comparison_of_levels_that_are_gone_is_gone() -> None:
    text = TEXT + "\ncomparisons: [{factor: depth, baseline: 1}, {factor: text, baseline: whole}]"
    assert [one.factor for one in experiment(text, quick=True).comparisons] == ["text"]


def test_seeds_may_become_more() -> None:
    assert experiment(TEXT.replace("seeds: 2", "seeds: {first: 2, most: 4, until: 0.01}")).seeds.further == (2, 3)
    assert experiment(TEXT.replace("seeds: 2", "seeds: [7, 3]")).seeds == Seeds((7, 3), 2)


def test_of_losses_less_is_better() -> None:
    assert experiment().metrics == (Metric("score", "higher", 0.05), Metric("loss", "lower", 0.01))


def test_a_level_may_be_matched_with_another() -> None:
    match = "{name: m, match: {level: whole, in: operations, by: [model.embedding_dim, model.word_dim]}}"
    found = experiment(TEXT.replace("- name: whole", f"- name: whole\n      - {match}"))
    by = (("model", "embedding_dim"), ("model", "word_dim"))
    assert found.factor("text").level("m").match == Match("whole", OPERATIONS, by)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("question:", "qestion:", r"the file has no 'qestion'; it has question.*did you mean"),
        ("steps: 2", "stepps: 2", r"base: there is no setting 'training.stepps'.*training.steps"),
        ("steps: 2", "steps: two", r"base: training.steps must be int or none, got 'two'"),
        ("steps: 2", "steps: 0", r"base: training.steps must be at least 1, got 0"),
        ("steps: 2", "seed: 2", r"training.seed is not for a configuration: seeds says which"),
        ("split_embedding: true", "split_embedding: 3", r"factors\[0\].levels\[1\].set: model.split_embedding must be"),
        ("levels: [1, 2]", "levels: [1, x]", r"factors\[1\].levels\[1\]: model.depth must be int or none, got 'x'"),
        ("levels: [1, 2]", "levels: [1, 1]", r"factors\[1\].levels must have different names, got '1' twice"),
        ("levels: [1, 2]", "levels: []", r"factors\[1\].levels must be a list"),
        ("option: model.depth, ", "", r"factors\[1\].levels\[0\] must be a mapping with name, set, model, match"),
        ("target: label", "goal: label", r"sets\[0\] has no 'goal'; it has name, table, target"),
        ("table: table.csv, ", "", r"sets\[0\].table must be a text"),
        (
            "levels: [1, 2]}",
            "levels: [1, 2], where: {txt: whole}}",
            r"a factor of factors\[1\].where must be one of 'text'",
        ),
        ("levels: [1, 2]}", "levels: [1, 2], where: {text: al}}", r"factors\[1\].where.text must be one of 'whole'"),
        ("- name: whole", "- {name: whole, where: {depth: 9}}", r"levels\[0\].where.depth must be one of '1', '2'"),
        ("steps: 2", "steps: 2}\n  data.most_rows: {dev: 3", r"a split of base: data.most_rows must be one of 'train'"),
        ("seeds: 2", "seeds: 0", r"seeds must be"),
        ("seeds: 2", "seeds: {first: 2, most: 4}", r"seeds must have both until and a larger most"),
        ("margin: 0.05", "margin: 0", r"metrics\[0\].margin must be above 0"),
        ("margin: 0.05", "better: more", r"metrics\[0\].better must be one of 'higher', 'lower'"),
        ("{depth: [2]}", "{depth: [3]}", r"quick.factors.depth\[0\] must be one of '1', '2'; got '3'"),
        ("- name: whole", "- {name: whole, model: os.system}", r"levels\[0\].model must be package.module:function"),
        ("- name: whole", "- {name: whole, model: 'nowhere_at:all'}", r"no module nowhere_at to import"),
        ("option: model.depth", "option: model.split_embedding", r"factors\[1\].levels\[0\]: model.split_embedding"),
        ("question: Does it help?", "question: [", r"while parsing"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises((ValueError, TypeError), match=message):
        experiment(TEXT.replace(old, new, 1))


def test_two_factors_must_not_set_the_same() -> None:
    text = TEXT.replace("{model.split_embedding: true}", "{model.depth: 3}")
    with pytest.raises(ValueError, match=r"factor 'text' and factor 'depth' both set model.depth"):
        experiment(text)


def test_one_factor_may_name_models() -> None:
    model = "model: 'perceiver_pytorch.experiments.contestants:gelu'"
    text = TEXT.replace("- name: whole", f"- {{name: whole, {model}}}").replace(
        "  - {name: depth,", f"  - {{name: more, levels: [{{name: a, {model}}}]}}\n  - {{name: depth,"
    )
    with pytest.raises(ValueError, match="only one factor can name models"):
        experiment(text)


def test_a_file_is_named_where_it_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(TEXT.replace("seeds: 2", "seeds: none"))
    with pytest.raises((ValueError, TypeError), match=r"mine.yaml: seeds must be"):
        read_experiment(path)
    path.write_text(TEXT)
    assert read_experiment(path).name == "mine"


def test_yaml_makes_no_objects() -> None:
    with pytest.raises(ValueError, match="could not determine a constructor"):
        parse_experiment("question: !!python/object/apply:os.getcwd []", "x")
