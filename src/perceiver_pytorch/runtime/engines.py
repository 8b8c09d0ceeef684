"""What computes a graph: onnxruntime, or PyTorch for its own format."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from perceiver_pytorch._saved_files import DamagedFileError, MissingFileError
from perceiver_pytorch.data.errors import need

GRAPHS = {"onnx": "model.onnx", "pt2": "model.pt2"}
"""{format: name of its file in a bundle}."""


class Engine(Protocol):
    """Computes a graph."""

    def __call__(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """{name of an output: its array}, of arrays by the names of the inputs."""


def engine_for(graph: Path, form: str) -> Engine:
    """The engine of a graph.

    Raises:
        DamagedFileError: if the file is not there, or is no graph.
        ImportError: if the library that computes it is not installed.
    """
    if not graph.is_file():
        raise MissingFileError(f"{graph} is not there; copy the whole folder that `perceiver export` wrote")
    return OnnxEngine(graph) if form == "onnx" else TorchEngine(graph)


class OnnxEngine:
    """onnxruntime on the CPU, or on a GPU where its package for one is installed."""

    def __init__(self, graph: Path) -> None:
        onnxruntime = need("onnxruntime", "run an exported model", extra="export")
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
        try:
            self.session = onnxruntime.InferenceSession(str(graph), providers=providers)
        except Exception as error:  # its classes have no common base of their own
            raise DamagedFileError(f"{graph} cannot be run by onnxruntime: {' '.join(str(error).split())}") from error
        self.outputs = [output.name for output in self.session.get_outputs()]

    def __call__(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(self.outputs, self.session.run(self.outputs, dict(arrays)), strict=True))


class TorchEngine:
    """A program of `torch.export`, which needs PyTorch and no code of this package's models."""

    def __init__(self, graph: Path) -> None:
        self.torch = need("torch", "run a model of the format pt2", extra="export")
        try:
            self.module = self.torch.export.load(graph).module()
        except Exception as error:  # whatever its reader stumbles over
            raise DamagedFileError(f"{graph} cannot be read by PyTorch: {' '.join(str(error).split())}") from error

    def __call__(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        with self.torch.no_grad():
            found = self.module({name: self.torch.from_numpy(array) for name, array in arrays.items()})
        return {name: values.numpy() for name, values in found.items()}
