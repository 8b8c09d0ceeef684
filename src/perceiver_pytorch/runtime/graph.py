"""A folder that `perceiver export` wrote of a saved model or a language model: a graph of arrays, without a table."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from perceiver_pytorch import _checks
from perceiver_pytorch._saved_files import fitting
from perceiver_pytorch.runtime.exported import WRITTEN, Exported
from perceiver_pytorch.runtime.signature import DATA, MASK, PLACE, QUERIES, GraphInput, dims_of, inputs_from_json

GRAPH = "graph.json"
_TAKEN = {"b": "b", "i": "iu", "f": "fiu"}  # kinds of dtypes that become one


@dataclass(frozen=True, repr=False)
class Graph(Exported):
    """An exported model that takes arrays, as the model itself took tensors."""

    facts_name = GRAPH
    source = "model"

    def check(self) -> None:
        _ = self.inputs, self.outputs

    @cached_property
    def inputs(self) -> tuple[GraphInput, ...]:
        """What the graph takes."""
        with fitting(self.path / GRAPH, WRITTEN):
            return inputs_from_json(self.facts["inputs"])

    @cached_property
    def outputs(self) -> dict[str, str]:
        """{what the model gives: its name in the graph}."""
        with fitting(self.path / GRAPH, WRITTEN):
            return {str(name): str(entry["name"]) for name, entry in self.facts["outputs"].items()}

    def __call__(
        self,
        data: Any,
        mask: Any = None,
        *,
        coordinates: Mapping[str, Sequence[Any]] | None = None,
        queries: Any = None,
    ) -> dict[str, np.ndarray]:
        """Runs the model.

        Args:
            data: ``{modality: (batch, *axes, channels)}``, or ids ``(batch, length)``; modalities may be left out. An
                array, of a model of one modality.
            mask: ``{modality: (batch, *axes)}`` bool, True where a token is real; all are where none is given. An
                array, of a model of one modality.
            coordinates: as the model's: per axis None or where tokens are; needed where one axis has several.
            queries: ``{output: (batch, queries, dim)}`` of outputs that are asked with queries.

        Returns:
            {name of an output: its array}.

        Raises:
            ValueError, TypeError: for other modalities, shapes or dtypes; the message says which.
        """
        names = [entry.modality for entry in self.inputs if entry.part == DATA]
        asked = [entry.modality for entry in self.inputs if entry.part == QUERIES]
        given = {
            DATA: _by_name("data", data, names),
            MASK: _by_name("mask", mask, names),
            PLACE: _by_name("coordinates", coordinates, names),
            QUERIES: _by_name("queries", queries, asked),
        }
        if not given[DATA]:
            raise ValueError(f"data must have one modality at least, of {', '.join(names)}")
        found = {entry.name: self._checked(entry, self._given(entry, given)) for entry in self.inputs}
        self._check_together(found)
        answers = self.engine(found)
        return {name: answers[inner] for name, inner in self.outputs.items()}

    def _given(self, entry: GraphInput, given: Mapping[str, Mapping[str, Any]]) -> Any:
        """The values of an input: those that were given, or what stands for them."""
        name, data = entry.modality, given[DATA]
        if entry.part == QUERIES:
            if name not in given[QUERIES]:
                raise ValueError(f"queries of {name!r} are needed: {self._shape(entry)}")
            return given[QUERIES][name]
        if name not in data:  # it is left out: one masked token
            rows = next(iter(np.shape(next(iter(data.values())))), 1)
            return np.zeros((rows, *entry.least[1:]), dtype=entry.dtype)
        if entry.part == DATA:
            return data[name]
        if entry.part == MASK:
            shape = np.shape(data[name])[: len(entry.most)]
            return given[MASK].get(name, np.ones(shape, dtype=bool))
        place = given[PLACE][name][entry.axis] if name in given[PLACE] else None
        if place is None:
            raise ValueError(f"coordinates of {name!r} are needed for axis {entry.axis}: {self._shape(entry)}")
        return place

    def _checked(self, entry: GraphInput, values: Any) -> np.ndarray:
        """An array as the graph takes it."""
        array = np.asarray(values)
        wanted = np.dtype(entry.dtype)
        if array.dtype.kind not in _TAKEN[wanted.kind]:
            raise TypeError(f"{entry.part} of {entry.modality!r} must be {wanted}, got {array.dtype}")
        sizes = zip(entry.least, array.shape, entry.most, strict=False)
        if array.ndim != len(entry.most) or not all(low <= size <= high for low, size, high in sizes):
            raise ValueError(
                f"{entry.part} of {entry.modality!r} must be {self._shape(entry)}, got {tuple(array.shape)}"
            )
        return np.ascontiguousarray(array, dtype=wanted)

    def _check_together(self, arrays: Mapping[str, np.ndarray]) -> None:
        """That dimensions of one name are equal."""
        known: dict[str, tuple[str, int]] = {}
        for name, dims in dims_of(self.inputs).items():
            for dim, size in zip(dims, arrays[name].shape, strict=True):
                other, expected = known.setdefault(str(dim), (name, size))
                if size != expected:
                    raise ValueError(f"{dim} must be the same in all inputs: {expected} in {other}, {size} in {name}")

    def _shape(self, entry: GraphInput) -> str:
        """Bounds of an input in words."""
        sides = zip(dims_of(self.inputs)[entry.name], entry.least, entry.most, strict=True)
        return "(" + ", ".join(str(d) if a == b else f"{d} of {a} to {b:,}" for d, a, b in sides) + ")"


def _by_name(argument: str, given: Any, names: Sequence[str]) -> dict[str, Any]:
    """What is given of each name."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        if len(names) != 1:
            raise TypeError(
                f"{argument} must be a mapping of {', '.join(names) or 'nothing'}, got {type(given).__name__}"
            )
        return {names[0]: given}
    for name in given:
        _checks.choice(f"a name in {argument}", name, tuple(names))
    return dict(given)


def is_graph(path: Path) -> bool:
    """Whether a folder is one that ``perceiver export`` wrote of a saved model or a language model."""
    return (path / GRAPH).is_file()


def open_graph(path: str | os.PathLike[str]) -> Graph:
    """The graph in a folder that ``perceiver export`` wrote of a saved model or a language model: `Graph.open`."""
    return Graph.open(path)
