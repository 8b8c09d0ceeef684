"""A saved model, or a language model, as a graph: `perceiver export` of what knows no table."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from perceiver_pytorch._files import write_json, write_text
from perceiver_pytorch.export.card import graph_card
from perceiver_pytorch.export.checking import check_agreement, of_ids
from perceiver_pytorch.export.folder import made_with, written_whole
from perceiver_pytorch.export.model_signature import ModelGraph, ModelSignature, signature_of
from perceiver_pytorch.export.precision import reduced
from perceiver_pytorch.export.programs import (
    OPSET,
    as_traced,
    output_shapes,
    program_of,
    reads_by_tiles,
    shapes,
    write_program,
)
from perceiver_pytorch.models.card import Section
from perceiver_pytorch.runtime.engines import GRAPHS
from perceiver_pytorch.runtime.exported import VERSION
from perceiver_pytorch.runtime.graph import GRAPH, Graph
from perceiver_pytorch.runtime.signature import MASK, PLACE, GraphInput, inputs_to_json
from perceiver_pytorch.training.run.reporter import Reporter

_TRACED_BATCH = 3
_LENGTHS = (5, 7, 11, 13, 17, 19, 23, 29)  # to trace with: PyTorch takes what is equal for the same
_TRIED = {1: 1500, 2: 40}  # most of an axis in the check, by how many there are: more tokens than a tile has
_TRIED_OF_MORE = 12


def export_model(
    model: nn.Module,
    output: Path,
    *,
    format: str,
    precision: str,
    tile: int,
    sizes: Mapping[str, Sequence[int]],
    about: Sequence[Section],
    reporter: Reporter,
) -> Graph:
    """Writes a model as a graph that takes arrays, with what says which, into a folder.

    Args:
        model: one of this package's, or another that `signature_of` knows.
        output: folder to write; one that an earlier export wrote is replaced.
        format, precision, tile: as in `perceiver_pytorch.export.export`.
        sizes: {modality: fixed lengths of its axes}.
        about: of the card, what is known of the model.
        reporter: how to tell what happens.

    Raises:
        ValueError: for a model that cannot be exported, or sizes that do not fit it.
    """
    signature = signature_of(model).with_sizes(sizes)
    graph = ModelGraph(model.cpu().eval(), signature).eval()
    with reporter.step("tracing the model"):
        program = program_of(graph, _example(signature.inputs), shapes(signature.inputs), tile)
    inputs = as_traced(signature.inputs, program)
    with torch.no_grad():
        answers = [*graph(_example(signature.inputs))]
    facts: dict[str, Any] = {
        "version": VERSION,
        "model": type(model).__name__,
        "format": format,
        "opset": OPSET if format == "onnx" else None,
        "precision": precision,
        "tile": tile if reads_by_tiles(program) else None,
        "inputs": inputs_to_json(inputs),
        "outputs": {
            name.removeprefix("out_"): {"name": name, "dtype": "float32", "shape": shape}
            for name, shape in zip(answers, output_shapes(program, inputs), strict=True)
        },
        "made_with": made_with(),
    }
    with written_whole(output) as place:
        with reporter.step(f"writing {format}"):
            write_program(program, format, place / GRAPHS[format], inputs, answers)
            reduced(place / GRAPHS[format], precision)
        write_json(place / GRAPH, facts)
        with reporter.step("comparing with the model"):
            facts["agreement"] = _agreement(graph, place, inputs, signature, strict=precision == "float32")
        write_json(place / GRAPH, facts)
        write_text(place / "README.md", graph_card(facts, about))
    size = (output / GRAPHS[format]).stat().st_size / 1e6
    reporter.say(f"written: {output} ({type(model).__name__}, {format}, {precision}, {size:,.1f} MB)")
    reporter.say(f"largest difference from the model on drawn inputs: {facts['agreement']['largest_difference']:.1e}")
    return Graph.open(output)


def _agreement(
    graph: ModelGraph, place: Path, inputs: Sequence[GraphInput], signature: ModelSignature, *, strict: bool
) -> dict[str, Any]:
    """`check_agreement` on inputs of moderate size, from the least that the graph takes on."""
    counts = {entry.modality: len(entry.most) - 1 for entry in inputs if entry.part == MASK}
    tried = []
    for entry in inputs:
        length = _TRIED.get(counts.get(entry.modality, 1), _TRIED_OF_MORE)
        most = [min(high, max(length, 2 * low)) if low != high else high for low, high in _sides(entry)]
        tried.append(replace(entry, most=tuple(most)))
    return check_agreement(graph, Graph.open(place).engine, tried, of_ids(signature.ids), strict=strict)


def _example(inputs: Sequence[GraphInput]) -> dict[str, Tensor]:
    """Tensors to trace with: no two lengths that may differ are equal."""
    lengths, known, found = iter(_LENGTHS * len(inputs)), dict[tuple[str, int], int](), {}
    for entry in inputs:
        shape = []
        for place, (low, high) in enumerate(_sides(entry)):
            axis = entry.axis if entry.part == PLACE and place else place - 1
            if low != high and place:
                if (entry.modality, axis) not in known:
                    known[entry.modality, axis] = min(high, low + next(lengths))
                high = known[entry.modality, axis]
            shape.append(_TRACED_BATCH if not place else high)
        found[entry.name] = torch.ones(shape, dtype=getattr(torch, entry.dtype))
    return found


def _sides(entry: GraphInput) -> list[tuple[int, int]]:
    return [*zip(entry.least, entry.most, strict=True)]
