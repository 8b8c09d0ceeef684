"""From a module to a program of `torch.export`, and from that to a file."""

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from perceiver_pytorch.data.errors import need
from perceiver_pytorch.ops.tiled import by_tiles
from perceiver_pytorch.runtime.engines import GRAPHS
from perceiver_pytorch.runtime.signature import MOST_ROWS, GraphInput, dims_of

FORMATS = tuple(GRAPHS)
OPSET = 20
"""Of ONNX; onnxruntime 1.17 and newer run it."""
TILE = 1024
"""Tokens that a graph attends to at a time: of a context that may have more, it takes one tile after another."""
_TRACED = 2  # PyTorch's least of a size that may differ
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
            program = torch.export.export(graph, (dict(tensors),), dynamic_shapes=(dict(shapes),), strict=False)
        except Exception as error:  # of many classes
            raise ValueError(f"PyTorch cannot export this model: {_first_lines(error)}") from error
    _drop_autocast(program)
    return program


def _drop_autocast(program: Any) -> None:
    """Removes what switches autocast off, in a graph that has none: PyTorch writes no file with it."""
    for module in program.graph_module.modules():
        for node in reversed([*module.graph.nodes] if isinstance(module, torch.fx.GraphModule) else []):
            if node.target in (torch.amp.autocast_mode._enter_autocast, torch.amp.autocast_mode._exit_autocast):
                module.graph.erase_node(node)


def write_program(program: Any, form: str, path: Path, inputs: Sequence[GraphInput], outputs: Sequence[str]) -> None:
    """Writes a program as a file of one of `FORMATS`.

    Args:
        program: of `program_of`.
        form: the format.
        path: the file.
        inputs: of the graph, in the order of the program's.
        outputs: names in the graph of ONNX, in that order.

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
                input_names=[entry.name for entry in inputs],
                output_names=list(outputs),
            )
        except Exception as error:  # of many classes
            raise ValueError(f"PyTorch cannot write this model as ONNX: {_first_lines(error)}") from error
        assert written is not None
        _name_axes(written.model, axis_names(program, inputs))
        written.save(path, external_data=size > _INLINE)


def shapes(inputs: Sequence[GraphInput]) -> dict[str, dict[int, Any]]:
    """Which dimensions may vary, for `program_of`."""
    return {
        entry.name: {
            place: torch.export.Dim.AUTO(min=low, max=high)
            for place, (low, high) in enumerate(zip(entry.least, entry.most, strict=True))
            if low != high
        }
        for entry in inputs
    }


def placeholders(program: Any) -> list[Any]:
    """Fake tensors of a program's inputs, in their order."""
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    return [nodes[each].meta["val"] for each in program.graph_signature.user_inputs]


def axis_names(program: Any, inputs: Sequence[GraphInput]) -> dict[str, str]:
    """{PyTorch's symbol of a size: what it is the size of, as `dims_of` says}."""
    dims, found = dims_of(inputs), dict[str, str]()
    for entry, tensor in zip(inputs, placeholders(program), strict=True):
        for size, name in zip(tensor.shape, dims[entry.name], strict=True):
            if not isinstance(size, int) and isinstance(name, str):
                found.setdefault(str(size), name)
    return found


def output_shapes(program: Any, inputs: Sequence[GraphInput]) -> list[list[int | str]]:
    """The shape of each output, in terms of `dims_of` the inputs."""
    names = axis_names(program, inputs)
    nodes = {node.name: node for node in program.graph.nodes}
    shapes = [nodes[each].meta["val"].shape for each in program.graph_signature.user_outputs]
    return [[size if isinstance(size, int) else _named(str(size), names) for size in shape] for shape in shapes]


def as_traced(inputs: Sequence[GraphInput], program: Any) -> tuple[GraphInput, ...]:
    """The inputs with the least sizes that a program takes: what it does with a picture may want some of it.

    Raises:
        ValueError: if it does not take all sizes above these.
    """
    found = []
    for entry, tensor in zip(inputs, placeholders(program), strict=True):
        bounds = [_bounds(size, program) for size in tensor.shape]
        for (low, high), most in zip(bounds, entry.most, strict=True):
            if high < most or low > most:
                raise ValueError(f"the exported program takes {low} to {high} of {entry.name!r}, not up to {most}")
        found.append(replace(entry, least=tuple(low for low, _ in bounds)))
    return tuple(found)


def _bounds(size: Any, program: Any) -> tuple[int, int]:
    """Least and most of a dimension; a symbol without bounds has any size.

    PyTorch traces with sizes from 2 on, and lets programs have 1 as well: `check_agreement` tries it.
    """
    if isinstance(size, int):
        return size, size
    known = program.range_constraints.get(size.node.expr)
    if known is None:
        return 1, MOST_ROWS
    return (1 if known.lower <= _TRACED else int(known.lower)), int(min(known.upper, 1 << 30))


def reads_by_tiles(program: Any) -> bool:
    """Whether a program has a loop over tiles of tokens; others attend to all of them at once."""
    return any("while_loop" in str(node.target) for node in program.graph.nodes)


def _name_axes(model: Any, names: Mapping[str, str]) -> None:
    """Names the sizes in a graph of ONNX: what goes in, what comes out, and what lies between."""
    import onnx_ir

    for graph in model.graphs():
        values = [*graph.inputs, *graph.outputs, *(value for node in graph for value in node.outputs)]
        for value in {id(value): value for value in values if value.shape is not None}.values():
            sizes = [
                size if isinstance(size, int) or size.value is None else onnx_ir.SymbolicDim(_named(size.value, names))
                for size in value.shape
            ]
            value.shape = onnx_ir.Shape(sizes)


def _named(size: str, names: Mapping[str, str]) -> str:
    """A symbol, or what is computed of some, by other names."""
    return re.sub(r"\w+", lambda match: names.get(match.group(), match.group()), size)


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
