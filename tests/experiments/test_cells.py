"""Which cells an experiment has, and what their hashes depend on."""

from pathlib import Path

import pytest

from experiment_helpers import TEXT, experiment, write_table
from perceiver_pytorch.experiments.cells import all_cells, cells_of, data_digest


def keys(text: str = TEXT, digest: str = "d", data: Path | None = None) -> list[str]:
    return [cell.key(digest) for cell in all_cells(experiment(text), data=data)]


def test_every_combination_of_set_levels_and_seed_is_a_cell() -> None:
    cells = all_cells(experiment())
    assert len(cells) == len(set(keys())) == 2 * 2 * 2
    (cell,) = (c for c in cells if c.levels == {"text": "split", "depth": "2"} and c.seed == 1)
    assert (cell.config.model.depth, cell.config.model.split_embedding, cell.config.training.seed) == (2, True, 1)
    assert (cell.config.data.table, cell.config.data.target) == ("table.csv", "label")
    assert cell.title == "words, split, 2, seed 1"


@pytest.mark.parametrize(
    ("old", "new"),
    [("steps: 2", "steps: 3"), ("latent_dim: 8", "latent_dim: 4"), ("seeds: 2", "seeds: [8]"), (": label", ": number")],
)
def test_what_determines_a_result_changes_the_hash(old: str, new: str) -> None:
    assert not set(keys(TEXT.replace(old, new, 1))) & set(keys())


def test_other_rows_change_the_hash() -> None:
    assert not set(keys(digest="other")) & set(keys())


def test_names_and_places_do_not(tmp_path: Path) -> None:
    renamed = TEXT.replace("name: whole", "name: all").replace("name: words", "name: text").replace("Does", "Will")
    assert keys(renamed, data=tmp_path) == keys()


def test_levels_that_come_to_the_same_have_one_hash() -> None:
    same = TEXT.replace("- name: whole", "- name: whole\n      - {name: again, set: {model.split_embedding: false}}")
    assert len(keys(same)) == 12
    assert len(set(keys(same))) == 8


def test_a_matched_level_depends_on_what_it_is_matched_with() -> None:
    def matched(width: int) -> set[str]:
        levels = f"""
      - {{name: base, set: {{model.latent_dim: {width}}}}}
      - {{name: whole, match: {{level: base, in: parameters, by: model.embedding_dim}}}}"""
        text = TEXT.replace("\n      - name: whole", levels)
        return {cell.key("d") for cell in all_cells(experiment(text)) if cell.levels["text"] == "whole"}

    assert matched(8) == matched(8)
    assert not matched(8) & matched(16)


def test_a_model_in_python_changes_the_hash_with_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    text = TEXT.replace("- name: whole", "- {name: whole, model: 'a_model_of_mine:build'}")
    found = []
    for body in ("build = 1", "build = 2"):
        (tmp_path / "a_model_of_mine.py").write_text(body)
        from perceiver_pytorch.experiments import cells

        cells._model.cache_clear()
        found.append({cell.key("d") for cell in all_cells(experiment(text)) if cell.levels["text"] == "whole"})
    assert not found[0] & found[1]


def test_settings_that_do_not_go_together_are_told_with_their_cell() -> None:
    with pytest.raises(ValueError, match=r"words, whole, 1: training.steps and epochs both say"):
        all_cells(experiment(TEXT.replace("steps: 2", "steps: 2, epochs: 2")))


def test_the_rows_of_a_set_are_told_by_a_digest(tmp_path: Path) -> None:
    asked = experiment()
    write_table(tmp_path)
    before = data_digest(asked.sets[0], asked, tmp_path)
    assert data_digest(asked.sets[0], asked, tmp_path) == before
    write_table(tmp_path, rows=44)
    assert data_digest(asked.sets[0], asked, tmp_path) != before


def test_of_one_set_and_seed_all_levels_are_there() -> None:
    assert {(cell.set, cell.seed) for cell in cells_of(experiment(), "words", 5)} == {("words", 5)}
    assert len(cells_of(experiment(), "words", 5)) == 4


def test_a_level_may_stand_beside_some_levels_alone() -> None:
    text = TEXT.replace("{name: split, set: {model.split_embedding: true}}", "{name: split, where: {depth: 2}}")
    cells = all_cells(experiment(text), [0])
    assert [tuple(cell.levels.values()) for cell in cells] == [("whole", "1"), ("whole", "2"), ("split", "2")]
    first = all_cells(experiment(TEXT.replace("- name: whole", "- {name: whole, where: {depth: 2}}")), [0])
    assert [tuple(cell.levels.values()) for cell in first] == [("whole", "2"), ("split", "1"), ("split", "2")]


def test_a_factor_may_vary_beside_some_levels_alone() -> None:
    third = "  - {name: tied, option: model.weight_tie_layers, levels: [false, true], where: {depth: 2}}\nsets:"
    cells = all_cells(experiment(TEXT.replace("sets:", third, 1)), [0])
    assert len(cells) == 6
    assert {cell.levels["depth"] for cell in cells if cell.levels["tied"] == "true"} == {"2"}
