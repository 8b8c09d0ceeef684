"""Maps of what a run's model looked at in a row, drawn on the row's own cells."""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from perceiver_pytorch.data.cells import Where

if TYPE_CHECKING:
    from perceiver_pytorch.data.dataset import Sample
    from perceiver_pytorch.data.input_spec import InputSpec
    from perceiver_pytorch.tables.run import Run

WAY = "integrated"
"""Integrated gradients: exact up to their steps, and quicker than hiding one piece after another."""
STEPS = 16

Map = dict[str, str]
"""``modality``, ``text`` (what it shows), and ``kind`` (image or audio) with ``value``, a data URI."""
Mapper = Callable[["Sample", Mapping[str, Any], Where, str], list[Map]]
"""From a sample, its cells, its row and the name of a target to the maps of each modality."""


def maps_of_run(run: "Run", spec: "InputSpec") -> Mapper:
    """A function that maps rows of a run.

    Args:
        run: whose model is explained; nothing else may use it meanwhile.
        spec: how rows are read.
    """

    def mapped(sample: "Sample", cells: Mapping[str, Any], where: Where, target: str) -> list[Map]:
        from perceiver_pytorch.explain.maps import maps_of_row
        from perceiver_pytorch.training.table.explained import subject_of

        found = maps_of_row(subject_of(run.model, spec), sample, target=target, ways=(WAY,), steps=STEPS)[WAY]
        drawn: list[Map] = []
        for modality in spec.modalities:
            encoded = sample.inputs[modality.name]
            if encoded is not None and modality.name in found.grids:
                parts = modality.draw_map(encoded, found.grids[modality.name], cells, where)
                drawn += _shown(parts, f"What in {modality.name} speaks for this {target}, and what against it")
        return drawn

    return mapped


def _shown(parts: Sequence[Mapping[str, str]], text: str) -> list[Map]:
    """Parts of a report as pictures and sounds that a page can show without trusting them."""
    shown = []
    for part in parts:
        kind, value = part["kind"], part["value"]
        if kind == "drawing":
            svg = (
                value
                if "xmlns=" in value[:300]
                else value.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
            )
            kind, value = "image", f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
        if kind in ("image", "audio"):
            shown.append({"modality": part["name"], "text": text, "kind": kind, "value": value})
    return shown
