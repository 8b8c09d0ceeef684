"""From a module to a program of `torch.export`, and from that to a file."""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from perceiver_pytorch.data.errors import need
from perceiver_pytorch.ops.tiled import by_tiles
from perceiver_pytorch.runtime.engines import GRAPHS

FORMATS = tuple(GRAPHS)
OPSET = 20
"""Of ONNX; onnxruntime 1.17 and newer run it."""
TILE = 1024
"""Tokens that a graph attends to at a time: of a context that may have more, it takes one tile after another."""
_INLINE = 1_500_000_000  # bytes of weights that a file of ONNX can hold beside the graph


def program_of(
    graph: nn.Module, tensors: Mapping[str, Tensor], shapes: Mapping[str, Mapping[int, Any]], tile: int = TILE
) -> Any:
    """The program of a module whose ``forward`` takes a mapping of tensors and gives one.

    Args:
        graph: in evaluation mode, on the CPU.
        tensors: to trace with.
        shapes: {tensor: {its dimension: a `torch.export.Dim`}}.
        tile: tokens that it attends to at a time.

    Raises:
        ValueError: if PyTorch cannot follow it, for every size that the shapes allow.
    """
    with _quietly(), by_tiles(tile), torch.no_grad():
        try:
            return torch.export.export(graph, (dict(tensors),), dynamic_shapes=(dict(shapes),), strict=False)
        except Exception as error:  # of many classes
            raise ValueError(f"PyTorch cannot export this model: {_first_lines(error)}") from error


def write_program(program: Any, form: str, path: Path, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Writes a program as a file of one of `FORMATS`.

    Args:
        program: of `program_of`.
        form: the format.
        path: the file.
        inputs, outputs: names in the graph of ONNX, in the order of the program's.

    Raises:
        ImportError: if libraries for ONNX are not installed.
        ValueError: if an operation has no counterpart in ONNX.
    """
    if form == "pt2":
        with _quietly():
            torch.export.save(program, path)
        return
    need("onnxscript", "write ONNX", extra="export")
    size = sum(weight.numel() * weight.element_size() for weight in program.state_dict.values())
    with _quietly():
        try:
            written = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=list(outputs),
            )
        except Exception as error:  # of many classes
            raise ValueError(f"PyTorch cannot write this model as ONNX: {_first_lines(error)}") from error
        assert written is not None
        written.save(path, external_data=size > _INLINE)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without what exporters say about themselves."""
    names = ("torch.onnx", "onnxscript", "torch._dynamo", "torch.export", "onnx_ir")
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _first_lines(error: Exception) -> str:
    """What an exporter's error says before it goes on for pages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:4])[:600]
