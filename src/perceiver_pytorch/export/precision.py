"""Smaller graphs of ONNX: weights are kept in fewer bits, and are float32 again when the graph computes.

A cross-attend's scores decide by their differences, so arithmetic stays in float32: what fewer bits save is the size of
the file, and what they lose is measured for every export.
"""

from pathlib import Path
from typing import Any

import numpy as np

from perceiver_pytorch._files import write_whole
from perceiver_pytorch.data.errors import need

PRECISIONS = ("float32", "float16", "int8")
_LEAST = 1024  # numbers of a weight that is worth it


def check_precision(precision: str, form: str) -> None:
    """Raises a ValueError for a precision that a format does not have."""
    if precision != "float32" and form != "onnx":
        raise ValueError(f"precision must be float32 where the format is {form}, got {precision}; use format onnx")


def reduced(path: Path, precision: str) -> None:
    """Writes a graph of ONNX anew, with its weights in ``precision``."""
    if precision == "float32":
        return
    onnx = need("onnx", "write weights in fewer bits", extra="export")
    model = onnx.load(path)
    graph, nodes, kept = model.graph, [], []
    for weight in graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < _LEAST or values.ndim < 2:
            kept.append(weight)
            continue
        parts, node = _half(onnx, weight.name, values) if precision == "float16" else _bytes(onnx, weight.name, values)
        kept.extend(parts)
        nodes.append(node)
    nodes += graph.node
    for field, entries in ((graph.initializer, kept), (graph.node, nodes)):
        entries = list(entries)
        del field[:]
        field.extend(entries)
    write_whole(path, lambda partial: onnx.save(model, partial))


def _half(onnx: Any, name: str, values: np.ndarray) -> tuple[list[Any], Any]:
    """A weight in float16, and the node that makes float32 of it."""
    limits = np.finfo(np.float16)
    half = onnx.numpy_helper.from_array(values.clip(limits.min, limits.max).astype(np.float16), f"{name}.float16")
    return [half], onnx.helper.make_node("Cast", [half.name], [name], to=onnx.TensorProto.FLOAT)


def _bytes(onnx: Any, name: str, values: np.ndarray) -> tuple[list[Any], Any]:
    """A weight in int8 with a scale for each of its last axis' places, and the node that makes float32 of it."""
    largest = abs(values).max(axis=tuple(range(values.ndim - 1)))
    scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    whole = onnx.numpy_helper.from_array(np.rint(values / scale).astype(np.int8), f"{name}.int8")
    scales = onnx.numpy_helper.from_array(scale, f"{name}.scale")
    node = onnx.helper.make_node("DequantizeLinear", [whole.name, scales.name], [name], axis=values.ndim - 1)
    return [whole, scales], node
