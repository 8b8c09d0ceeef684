"""Sizes that are chosen so that two models cost the same."""

from dataclasses import replace
from pathlib import Path

import pytest

from experiment_helpers import TEXT, experiment, write_table
from perceiver_pytorch.data import InputSpec
from perceiver_pytorch.experiments.cells import Cell, all_cells
from perceiver_pytorch.experiments.matching import Builder, closest_size, num_operations, num_parameters, on_meta
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table.prepare import prepare_table
from perceiver_pytorch.training.table.run import TableRun

SILENT = Reporter(say=lambda text: None, warn=lambda text: None)
BYTES = TEXT.replace("ignore: [number]", "ignore: [number], set: {data.text_units: bytes}")
LEVEL = "- {name: whole, match: {level: split, in: MEASURE, by: model.embedding_dim}}"


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> InputSpec:
    folder = tmp_path_factory.mktemp("table")
    write_table(folder)
    (cell, *_) = all_cells(experiment(BYTES), data=folder)
    return prepare_table(cell.config, TableRun(folder / "run"), SILENT, given=None, resume=False).spec


def cell(text: str, level: str) -> Cell:
    return next(c for c in all_cells(experiment(text), data=Path()) if c.levels == {"text": level, "depth": "2"})


def built(text: str, level: str, spec: InputSpec) -> tuple[Builder, object]:
    builder = Builder(cell(text, level))
    return builder, on_meta(lambda: builder(spec, cell(text, level).config.model))


@pytest.mark.parametrize(("measure", "count"), [("parameters", num_parameters), ("operations", num_operations)])
def test_a_matched_level_costs_what_the_other_does(measure: str, count: object, spec: InputSpec) -> None:
    text = BYTES.replace("- name: whole", LEVEL.replace("MEASURE", measure))
    costs = {}
    for name in ("whole", "split"):
        builder, model = built(text, name, spec)
        costs[name] = count(model) if measure == "parameters" else count(model, spec)  # type: ignore[operator]
        assert (builder.chosen != {}) == (name == "whole")
    assert costs["whole"] == pytest.approx(costs["split"], rel=0.02)


def test_in_operations_split_and_whole_are_equal_at_the_width_of_a_chunk(spec: InputSpec) -> None:
    text = BYTES.replace("- name: whole", LEVEL.replace("MEASURE", "operations"))
    builder, _ = built(text, "whole", spec)
    assert builder.chosen == {"model.embedding_dim": cell(text, "split").config.model.embedding_dim}


def test_operations_rise_with_width_and_depth(spec: InputSpec) -> None:
    made = cell(BYTES, "whole")
    sizes = [made.config.model, replace(made.config.model, latent_dim=16), replace(made.config.model, depth=3)]
    first, wider, deeper = (num_operations(on_meta(lambda s=s: Builder(made)(spec, s)), spec) for s in sizes)
    assert first < wider
    assert first < deeper


@pytest.mark.parametrize("wanted", [1, 7, 8, 100, 1023])
def test_the_closest_size_is_found(wanted: int) -> None:
    assert closest_size(lambda size: 3 * size, 3 * wanted) == wanted
    assert closest_size(lambda size: 3 * size, 3 * wanted + 1) == wanted
    assert closest_size(lambda size: 3 * size, 3 * wanted + 2) == wanted + 1


def test_what_no_size_reaches_is_an_error() -> None:
    with pytest.raises(ValueError, match="no size up to 16,384"):
        closest_size(lambda size: 1.0, 2.0)
