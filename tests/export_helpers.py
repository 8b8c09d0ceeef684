"""A model of a table, as a graph of ONNX that onnxruntime computes, next to itself."""

import contextlib
import dataclasses
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import jaxtyping
import numpy as np
import torch
from torch import nn

from perceiver_pytorch.data import InputSpec, Sample
from perceiver_pytorch.data.stacking import stack
from perceiver_pytorch.export.programs import as_traced, program_of, shapes, write_program
from perceiver_pytorch.export.table_graph import TableGraph, example, output_names, table_inputs
from perceiver_pytorch.runtime.engines import OnnxEngine
from perceiver_pytorch.runtime.signature import arrays_of
from perceiver_pytorch.training.table.build import run_model
from perceiver_pytorch.training.table.settings import ModelConfig

SMALL = ModelConfig(depth=1, num_latents=4, latent_dim=16, num_latent_blocks_per_layer=1, num_freq_bands=2)
TILE = 8


@contextlib.contextmanager
def unchecked() -> Iterator[None]:
    """Annotations unchecked: in a graph, sizes are symbols instead of ints."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


class Exported:
    """A graph of a table's model.

    Args:
        spec: what it reads and predicts.
        model: a model for it.
        folder: where the graph is written.
        tile: tokens that it attends to at a time.
    """

    def __init__(self, spec: InputSpec, model: nn.Module, folder: Path, tile: int = TILE) -> None:
        self.spec, self.model, self.inputs = spec, model.eval(), table_inputs(spec)
        self.graph = TableGraph(model, spec, self.inputs).eval()
        with unchecked():
            self.program = program_of(self.graph, example(self.inputs), shapes(self.inputs), tile)
        self.inputs = as_traced(self.inputs, self.program)
        self.file = folder / "model.onnx"
        names = [name for target in spec.targets for name in output_names(target.name).values()]
        write_program(self.program, "onnx", self.file, self.inputs, names)
        self.engine = OnnxEngine(self.file)

    def assert_equal(self, samples: Sequence[Sample]) -> None:
        """That onnxruntime gives for these rows what the run's model gives."""
        from perceiver_pytorch.data import collate

        with torch.no_grad():
            outputs = run_model(self.model, collate(samples, self.spec), self.spec.targets)
        found = self.engine(arrays_of(stack(samples, self.spec), self.spec, self.inputs))
        for target in self.spec.targets:
            names, raw = output_names(target.name), outputs[target.name]
            np.testing.assert_allclose(found[names["raw"]], raw.numpy(), rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(found[names["values"]], target.values(raw).numpy(), rtol=1e-4, atol=1e-4)


def lacking(sample: Sample, names: Collection[str]) -> Sample:
    """A row without some of its modalities."""
    inputs = {name: None if name in names else values for name, values in sample.inputs.items()}
    return dataclasses.replace(sample, inputs=inputs)


def without_others(spec: InputSpec, name: str) -> InputSpec:
    """What reads one modality alone."""
    return dataclasses.replace(spec, modalities=(spec.modality(name),))
