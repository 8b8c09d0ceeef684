"""A run as a folder that predicts without PyTorch: `perceiver export`."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from perceiver_pytorch import _checks
from perceiver_pytorch._files import write_json, write_text
from perceiver_pytorch.export.card import bundle_card
from perceiver_pytorch.export.checking import check_agreement
from perceiver_pytorch.export.measuring import measured
from perceiver_pytorch.export.precision import PRECISIONS, check_precision, reduced
from perceiver_pytorch.export.programs import FORMATS, OPSET, TILE, program_of, write_program
from perceiver_pytorch.export.table_graph import TableGraph, as_traced, example, output_names, shapes, table_inputs
from perceiver_pytorch.runtime.bundle import BUNDLE, CALIBRATION, SPEC, VERSION, Bundle, is_bundle
from perceiver_pytorch.runtime.engines import GRAPHS
from perceiver_pytorch.runtime.signature import GraphInput, inputs_to_json
from perceiver_pytorch.tables.forms import open_table
from perceiver_pytorch.tables.predictor import QUIET
from perceiver_pytorch.tables.run import Run
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table.datasets import read_options
from perceiver_pytorch.training.table.settings import DataConfig

PACKAGE = "perceiver-multi-modality-pytorch"

READING = ("split", "on_error", "header", "quoting", "stream", "decimal", "table_mb", "cache_mb", "cell_mb")
"""Settings of a run by which its bundle reads tables."""


def export(
    run: Run | str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    format: str = "onnx",
    precision: str = "float32",
    table: Any = None,
    measure: bool = True,
    tile: int = TILE,
    reporter: Reporter = QUIET,
) -> Bundle:
    """Writes a run's model as a graph, with what is needed to read tables and predict, into a folder.

    The graph takes batches of any size and rows of any length up to what the model reads. All modalities are inputs;
    one that a row lacks is masked. Its outputs are what the run's predictions are: probabilities, or numbers in their
    unit.

    Args:
        run: a run, or its folder.
        output: folder to write; one that an earlier export wrote is replaced.
        format: ``"onnx"``, or ``"pt2"`` for `torch.export`.
        precision: of the weights: ``"float32"``, ``"float16"`` or ``"int8"``; the last two for ONNX.
        table: the run's table, where it is not found under the name that the run has for it.
        measure: compare the scores of the exported model with the run's, on its test rows, or on the validation rows
            where it has none.
        tile: tokens that the graph attends to at a time.
        reporter: how to tell what happens.

    Raises:
        ValueError: for an unknown format or precision, a folder with other files, or a model that cannot be exported.
        ImportError: if a library that is needed is not installed.
    """
    _checks.choice("format", format, FORMATS)
    _checks.choice("precision", precision, PRECISIONS)
    check_precision(precision, format)
    target = Path(output)
    check_free(target)
    run = run if isinstance(run, Run) else Run.open(run)
    opened = None if table is None else open_table(table, read_options(run.data, run.spec))[0]
    model, inputs = run.model.cpu().eval(), table_inputs(run.spec)
    graph = TableGraph(model, run.spec, inputs, run.calibration).eval()
    with reporter.step("tracing the model"):
        program = program_of(graph, example(inputs), shapes(inputs), tile)
    inputs = as_traced(inputs, program)
    with written_whole(target) as place:
        facts = _facts(run, inputs, format, precision, tile)
        write_json(place / SPEC, run.spec.to_dict())
        write_json(place / BUNDLE, facts)
        if run.calibration is not None:
            write_json(place / CALIBRATION, run.calibration.to_json())
        with reporter.step(f"writing {format}"):
            names = [name for each in run.spec.targets for name in output_names(each.name).values()]
            write_program(program, format, place / GRAPHS[format], [entry.name for entry in inputs], names)
            reduced(place / GRAPHS[format], precision)
        bundle = Bundle.open(place)
        strict = precision == "float32"
        facts["agreement"] = check_agreement(graph, bundle.engine, inputs, run.spec, strict=strict)
        facts["measured"] = measured(run, bundle, opened, reporter) if measure else None
        write_json(place / BUNDLE, facts)
        write_text(place / "README.md", bundle_card(run, facts))
    for line in lines(target, facts):
        reporter.say(line)
    return Bundle.open(target)


def lines(target: Path, facts: Mapping[str, Any]) -> list[str]:
    """What was written, and what it cost, in words."""
    size = (target / GRAPHS[facts["format"]]).stat().st_size
    found = [f"written: {target} ({facts['format']}, {facts['precision']}, {size / 1e6:,.1f} MB)"]
    found.append(f"largest difference from the model on drawn inputs: {facts['agreement']['largest_difference']:.1e}")
    if told := facts["measured"]:
        found.append(f"on {told['rows']:,} {told['split']} rows, of the run and as exported:")
        for name, metrics in told["targets"].items():
            pairs = ", ".join(f"{key} {before:.4f} {after:.4f}" for key, (before, after) in metrics.items())
            found.append(f"  {name}: {pairs}")
    return found


def _facts(run: Run, inputs: Sequence[GraphInput], form: str, precision: str, tile: int) -> dict[str, Any]:
    """What ``bundle.json`` says before anything is measured."""
    settings = asdict(run.data)
    usual = asdict(DataConfig())
    return {
        "version": VERSION,
        "format": form,
        "opset": OPSET if form == "onnx" else None,
        "precision": precision,
        "tile": tile,
        "inputs": inputs_to_json(inputs),
        "outputs": {target.name: output_names(target.name) for target in run.spec.targets},
        "reading": {name: settings[name] for name in READING if settings[name] != usual[name]},
        "made_with": {"perceiver-multi-modality-pytorch": version(PACKAGE), "torch": str(torch.__version__)},
    }


def check_free(target: Path) -> None:
    """Raises a ValueError for a path that has something else than an earlier export."""
    if target.exists() and not target.is_dir():
        raise ValueError(f"{target} is a file; choose a folder")
    if target.is_dir() and any(target.iterdir()) and not is_bundle(target):
        raise ValueError(f"{target} has other files; choose a new folder, or empty this one")


@contextlib.contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A folder to write into, which takes the place of ``target`` at the end of the block, if nothing goes wrong."""
    above = target.absolute().parent
    above.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=above) as folder:
        place = Path(folder) / "new"
        place.mkdir()
        yield place
        if target.exists():
            target.rename(Path(folder) / "old")
        place.rename(target)
