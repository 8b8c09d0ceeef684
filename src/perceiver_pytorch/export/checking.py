"""Whether an exported graph gives what the model gives, on drawn inputs of several sizes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from perceiver_pytorch.data import InputSpec, ModalitySpec
from perceiver_pytorch.runtime.engines import Engine
from perceiver_pytorch.runtime.signature import DATA, MASK, GraphInput, evenly_spaced

TOLERANCE = 1e-4
"""Of float32, for numbers of usual size."""
_SIZES = ((4, 1.0), (1, 0.5), (2, 0.0))
"""Rows, and which share of each axis they have."""


def check_agreement(
    graph: nn.Module, engine: Engine, inputs: Sequence[GraphInput], spec: InputSpec, *, strict: bool
) -> dict[str, Any]:
    """How far an engine's outputs are from the module's.

    Args:
        graph: takes and gives tensors by name.
        engine: of the exported graph.
        inputs: what both take.
        spec: whose modalities they are.
        strict: whether a difference is an error.

    Returns:
        ``rows`` that were drawn, and ``largest_difference`` of an output, as a share of 1 + its size.

    Raises:
        ValueError: if ``strict``, for more than `TOLERANCE`.
    """
    drawn, worst, rows = np.random.default_rng(0), 0.0, 0
    for count, share in _SIZES:
        arrays = _drawn(inputs, spec, drawn, count, share)
        with torch.no_grad():
            expected = graph({name: torch.from_numpy(array) for name, array in arrays.items()})
        found = engine(arrays)
        for name, values in expected.items():
            truth = values.numpy()
            worst = max(worst, float((abs(found[name] - truth) / (1 + abs(truth))).max(initial=0.0)))
        rows += count
    if strict and not worst <= TOLERANCE:
        raise ValueError(
            f"the exported graph differs from the model by {worst:.2g} on drawn inputs, more than {TOLERANCE:g}: "
            "nothing was written; please report this with the model's summary()"
        )
    return {"rows": rows, "largest_difference": worst}


def _drawn(
    inputs: Sequence[GraphInput], spec: InputSpec, drawn: np.random.Generator, rows: int, share: float
) -> dict[str, np.ndarray]:
    """Arrays of every input; some tokens are masked, and in one row of several a modality is missing."""
    found: dict[str, np.ndarray] = {}
    for entry in inputs:
        modality = spec.modality(entry.modality)
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
        elif entry.part == DATA:
            found[entry.name] = _values(modality, drawn, shape)
        else:
            found[entry.name] = evenly_spaced(shape[0]) if len(shape) == 1 else drawn.random(shape, dtype=np.float32)
    return found


def _values(modality: ModalitySpec, drawn: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    if modality.dtype == "float32":
        return drawn.normal(size=shape).astype(np.float32)
    read = modality.model_input()
    most = read.vocab_size or (read.stem or {}).get("num_ids", 256)
    return drawn.integers(0, most, size=shape).astype(modality.dtype)
