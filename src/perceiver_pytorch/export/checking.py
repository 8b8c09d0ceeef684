"""Whether an exported graph gives what the model gives, on drawn inputs of several sizes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from perceiver_pytorch.data import InputSpec
from perceiver_pytorch.runtime.engines import Engine
from perceiver_pytorch.runtime.signature import DATA, MASK, PLACE, GraphInput, evenly_spaced

TOLERANCE = 1e-4
"""Of float32, for numbers of usual size."""
Draw = Callable[[GraphInput, np.random.Generator, Sequence[int]], np.ndarray]
"""From an input of data or queries, random numbers and a shape to values."""
_REPORT = "nothing was written; please report this with the model's summary()"
_SIZES = ((4, 1.0), (1, 0.5), (2, 0.0))
"""Rows, and which share of each axis they have."""


def check_agreement(
    graph: nn.Module, engine: Engine, inputs: Sequence[GraphInput], draw: Draw, *, strict: bool
) -> dict[str, Any]:
    """How far an engine's outputs are from the module's.

    Args:
        graph: takes and gives tensors by name.
        engine: of the exported graph.
        inputs: what both take; they are drawn up to their most.
        draw: values of data.
        strict: whether a difference is an error.

    Returns:
        ``rows`` that were drawn, and ``largest_difference`` of an output, as a share of 1 + its size.

    Raises:
        ValueError: if ``strict``, for more than `TOLERANCE`; and for outputs of other shapes, or none at all.
    """
    drawn, worst, rows = np.random.default_rng(0), 0.0, 0
    for count, share in _SIZES:
        arrays = _drawn(inputs, draw, drawn, count, share)
        with torch.no_grad():
            expected = graph({name: torch.from_numpy(array) for name, array in arrays.items()})
        try:
            found = engine(arrays)
        except Exception as error:  # onnxruntime's and PyTorch's have no common base
            text = " ".join(str(error).split())[:300]
            raise ValueError(f"the exported graph cannot be run on {_words(arrays)}: {text}; {_REPORT}") from error
        for name, values in expected.items():
            worst = np.maximum(worst, _difference(name, found[name], values.numpy()))  # which keeps NaN
        rows += count
    if strict and not worst <= TOLERANCE:
        raise ValueError(
            f"the exported graph differs from the model by {worst:.2g} on drawn inputs, more than {TOLERANCE:g}; "
            f"{_REPORT}"
        )
    return {"rows": rows, "largest_difference": float(worst), "tolerance": TOLERANCE if strict else None}


def _difference(name: str, found: np.ndarray, truth: np.ndarray) -> float:
    if found.shape != truth.shape:
        raise ValueError(f"{name} of the exported graph has the shape {found.shape}, not {truth.shape}; {_REPORT}")
    return float((abs(found - truth) / (1 + abs(truth))).max(initial=0.0))


def _words(arrays: Mapping[str, np.ndarray]) -> str:
    return ", ".join(f"{name} {array.shape}" for name, array in arrays.items())


def _drawn(
    inputs: Sequence[GraphInput], draw: Draw, drawn: np.random.Generator, rows: int, share: float
) -> dict[str, np.ndarray]:
    """Arrays of every input; some tokens are masked, and in one row of several a modality is missing."""
    found: dict[str, np.ndarray] = {}
    for entry in inputs:
        fixed = [low == high for low, high in zip(entry.least, entry.most, strict=True)]
        shape = [
            most if same else max(least, round(share * most))
            for least, most, same in zip(entry.least, entry.most, fixed, strict=True)
        ]
        if entry.has_batch:
            shape[0] = max(rows, entry.least[0])
        if entry.part == MASK:
            found[entry.name] = drawn.random(shape) < 0.8
            if rows > 1:
                found[entry.name][-1] = False
        elif entry.part == PLACE:
            found[entry.name] = evenly_spaced(shape[0]) if len(shape) == 1 else drawn.random(shape, dtype=np.float32)
        else:
            found[entry.name] = draw(entry, drawn, shape)
    return found


def of_table(spec: InputSpec) -> Draw:
    """Values as the modalities of a table have them."""

    def draw(entry: GraphInput, drawn: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
        modality = spec.modality(entry.modality)
        if modality.dtype == "float32":
            return drawn.normal(size=shape).astype(np.float32)
        read = modality.model_input()
        most = read.vocab_size or (read.stem or {}).get("num_ids", 256)
        return drawn.integers(0, most, size=shape).astype(modality.dtype)

    return draw


def of_ids(ids: Mapping[str, int]) -> Draw:
    """Values of models: ids of the modalities that have so many, numbers of others."""

    def draw(entry: GraphInput, drawn: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
        if entry.modality in ids and entry.part == DATA:
            return drawn.integers(0, ids[entry.modality], size=shape).astype(entry.dtype)
        return drawn.normal(size=shape).astype(entry.dtype)

    return draw
