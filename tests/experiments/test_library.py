"""The experiments that come with the package: every one can be configured, in full and small."""

from pathlib import Path

import pytest

from perceiver_pytorch.experiments.cells import all_cells
from perceiver_pytorch.experiments.library import find_experiment, shipped
from perceiver_pytorch.experiments.reading import parse_experiment

PAGES = Path(__file__).parent.parent.parent / "docs/experiments"


@pytest.mark.parametrize("name", shipped())
def test_every_cell_can_be_configured_and_compared(name: str) -> None:
    full, quick = find_experiment(name), find_experiment(name, quick=True)
    assert full.question.endswith("?")
    assert full.comparisons
    assert quick.comparisons
    assert 0 < len(all_cells(quick)) <= 40
    assert len(all_cells(full)) > len(all_cells(quick))
    assert all(not one.table.startswith("/") for one in full.sets)


@pytest.mark.parametrize("name", shipped())
def test_every_experiment_has_its_page(name: str) -> None:
    text = (PAGES / f"{name}.md").read_text()
    assert f"perceiver experiment {name}" in text
    assert find_experiment(name).question in " ".join(text.split())


def test_split_text_asks_what_release_1_4_0_left_open() -> None:
    full = find_experiment("split-text")
    by_name = {comparison.name: comparison for comparison in full.comparisons}
    assert by_name.keys() == {"equal parameters", "equal operations"}
    assert {level.name for level in full.factor("text").levels} == {"split", "whole", "narrow", "shared", "permuted"}
    assert len(full.factor("width").levels) >= 3
    assert len(full.factor("depth").levels) >= 3
    assert {level.name for level in full.factor("style").levels} == {"paper", "release"}
    assert len(full.factor("tied").levels) == 2
    assert len(full.seeds.first) >= 5


def test_small_forms_need_no_files_from_elsewhere() -> None:
    from perceiver_pytorch.data import builtin_names

    for name in shipped():
        assert {one.table for one in find_experiment(name, quick=True).sets} <= set(builtin_names())


def test_the_file_that_the_documentation_shows_can_be_read() -> None:
    page = (PAGES.parent / "experiments.md").read_text()
    text = page.split("```yaml\n")[1].split("```")[0]
    text = text.replace("my_package.models:build", "perceiver_pytorch.experiments.contestants:gelu")
    assert len(all_cells(parse_experiment(text, "shown"))) == 3 * 2 * 2 * 5


def test_an_unknown_name_is_told_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"must be one of .*'split-text'.*did you mean 'split-text'"):
        find_experiment("split-txt")


def test_a_file_is_read_by_its_suffix(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        find_experiment(str(tmp_path / "mine.yaml"))
