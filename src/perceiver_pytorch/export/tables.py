"""A run as a folder that predicts without PyTorch: `perceiver export`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from perceiver_pytorch._files import write_json, write_text
from perceiver_pytorch.data.unusual import unusual_of
from perceiver_pytorch.export.card import bundle_card
from perceiver_pytorch.export.checking import check_agreement, of_table
from perceiver_pytorch.export.folder import made_with, written_whole
from perceiver_pytorch.export.measuring import measured
from perceiver_pytorch.export.precision import reduced
from perceiver_pytorch.export.programs import OPSET, as_traced, program_of, shapes, write_program
from perceiver_pytorch.export.table_graph import LATENTS, TableGraph, example, output_names, table_inputs
from perceiver_pytorch.runtime.bundle import BUNDLE, CALIBRATION, SPEC, Bundle
from perceiver_pytorch.runtime.engines import GRAPHS
from perceiver_pytorch.runtime.exported import VERSION
from perceiver_pytorch.runtime.signature import GraphInput, inputs_to_json
from perceiver_pytorch.tables.forms import open_table
from perceiver_pytorch.tables.run import Run
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table.datasets import read_options
from perceiver_pytorch.training.table.settings import DataConfig

READING = ("split", "on_error", "header", "quoting", "stream", "decimal", "table_mb", "cache_mb", "cell_mb")
"""Settings of a run by which its bundle reads tables."""


def export_run(
    run: Run, target: Path, *, format: str, precision: str, table: Any, measure: bool, tile: int, reporter: Reporter
) -> Bundle:
    """Writes a run's model as a graph, with what is needed to read tables and predict; see `export`."""
    opened = None if table is None else open_table(table, read_options(run.data, run.spec))[0]
    model, inputs = run.model.cpu().eval(), table_inputs(run.spec)
    unusual = unusual_of(model)
    graph = TableGraph(
        model, run.spec, inputs, run.calibration, latents=unusual is not None and bool(unusual.centres)
    ).eval()
    with reporter.step("tracing the model"):
        program = program_of(graph, example(inputs), shapes(inputs), tile)
    inputs = as_traced(inputs, program)
    with written_whole(target) as place:
        facts = _facts(run, inputs, format, precision, tile) | {"latents": LATENTS if graph.latents else None}
        write_json(place / SPEC, run.spec.to_dict())
        write_json(place / BUNDLE, facts)
        if model.calibration is not None:
            write_json(place / CALIBRATION, model.calibration)
        with reporter.step(f"writing {format}"):
            names = [name for each in run.spec.targets for name in output_names(each.name).values()]
            names += [LATENTS] if graph.latents else []
            write_program(program, format, place / GRAPHS[format], inputs, names)
            reduced(place / GRAPHS[format], precision)
        bundle = Bundle.open(place)
        strict = precision == "float32"
        facts["agreement"] = check_agreement(graph, bundle.engine, inputs, of_table(run.spec), strict=strict)
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
        "choice": asdict(run.config.training.choice),
        "reading": {name: settings[name] for name in READING if settings[name] != usual[name]},
        "made_with": made_with(),
    }
