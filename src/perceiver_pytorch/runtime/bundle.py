"""A folder of `perceiver export`: a graph, what was learned about the table, and how tables are read."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from perceiver_pytorch._saved_files import MissingFileError, fitting, read_json
from perceiver_pytorch._settings import read_settings
from perceiver_pytorch.data import DataError, InputSpec, Sample, TableDataset
from perceiver_pytorch.data.calibration import Calibration
from perceiver_pytorch.data.prediction_columns import prediction_columns
from perceiver_pytorch.data.stacking import Stacked, stack
from perceiver_pytorch.runtime.engines import GRAPHS, Engine, engine_for
from perceiver_pytorch.runtime.signature import GraphInput, arrays_of, inputs_from_json
from perceiver_pytorch.tables.predictor import Predictor, Progress
from perceiver_pytorch.training.table.settings import DataConfig

BUNDLE, SPEC, CALIBRATION = "bundle.json", "input_spec.json", "calibration.json"
RUN = "config.yaml"  # what every run folder has, as `RunFolder.config_file`
BATCH = 256
VERSION = 1
VALUES, RAW = "values", "raw"


@dataclass(frozen=True)
class Bundle(Predictor):
    """An exported model.

    Attributes:
        path: its folder.
    """

    path: Path

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Bundle":
        """The bundle in a folder that `perceiver export` wrote.

        Raises:
            DamagedFileError: if there is none, or its files are damaged.
        """
        bundle = cls(Path(path))
        if not is_bundle(bundle.path):
            raise MissingFileError(f"{path} has no {BUNDLE}: it is no folder that `perceiver export` wrote")
        _ = bundle.facts, bundle.spec
        return bundle

    def __repr__(self) -> str:
        return f"Bundle.open({str(self.path)!r})"

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What ``bundle.json`` says: format, opset, precision, inputs, outputs, how tables are read, and what was
        measured."""
        facts = read_json(self.path / BUNDLE)
        with fitting(self.path / BUNDLE, "what `perceiver export` wrote"):
            if facts.get("version") != VERSION:
                raise ValueError(f"version must be {VERSION}, got {facts.get('version')!r}: export the run again")
            if facts["format"] not in GRAPHS:
                raise ValueError(f"format must be one of {', '.join(GRAPHS)}, got {facts['format']!r}")
        return facts

    @cached_property
    def spec(self) -> InputSpec:
        """What the model reads and predicts."""
        given = read_json(self.path / SPEC)
        with fitting(self.path / SPEC, "what a run learned about its table"):
            return InputSpec.from_dict(given)

    @cached_property
    def inputs(self) -> tuple[GraphInput, ...]:
        """What the graph takes."""
        with fitting(self.path / BUNDLE, "what `perceiver export` wrote"):
            return inputs_from_json(self.facts["inputs"], self.spec)

    @cached_property
    def outputs(self) -> dict[str, dict[str, str]]:
        """{target: the names of its outputs in the graph: ``values``, and ``raw``, which they are made of}."""
        with fitting(self.path / BUNDLE, "what `perceiver export` wrote"):
            given = self.facts["outputs"]
            found = {str(target): {key: str(names[key]) for key in (VALUES, RAW)} for target, names in given.items()}
            if {*found} != {target.name for target in self.spec.targets}:
                raise ValueError(f"outputs must be those of the targets of {SPEC}, got {', '.join(found)}")
            return found

    @cached_property
    def data(self) -> DataConfig:
        with fitting(self.path / BUNDLE, "what `perceiver export` wrote"):
            return read_settings(DataConfig, self.facts["reading"])

    @cached_property
    def engine(self) -> Engine:
        """What computes the graph."""
        return engine_for(self.path / GRAPHS[self.facts["format"]], self.facts["format"])

    @cached_property
    def calibration(self) -> Calibration | None:
        """How sure the model may be; its probabilities are calibrated by it already."""
        file = self.path / CALIBRATION
        if not file.is_file():
            return None
        given = read_json(file)
        with fitting(file, "what a run learned of its outputs"):
            return Calibration.from_json(given, self.spec.targets)

    def load(self) -> None:
        _ = self.engine, self.inputs, self.outputs, self.calibration

    def values(self, batch: Stacked) -> dict[str, np.ndarray]:
        """{target: `Target.values` of the rows} of a batch.

        Raises:
            ValueError: if some are not finite.
        """
        values = self._answers(batch, VALUES)
        for each in values.values():
            wrong = batch.rows[~np.isfinite(each).reshape(len(each), -1).all(1)]
            if len(wrong):
                raise ValueError(
                    f"the model's outputs are not finite for row {wrong[0]} and {len(wrong) - 1} others: the model "
                    "diverged in training, or a row has numbers that are far too large"
                )
        return values

    def outputs_of(self, batch: Stacked) -> dict[str, np.ndarray]:
        """{target: the model's outputs ``(rows, size)``} of a batch: what `values` are made of."""
        return self._answers(batch, RAW)

    def _answers(self, batch: Stacked, which: str) -> dict[str, np.ndarray]:
        found = self.engine(arrays_of(batch, self.spec, self.inputs))
        return {target: found[names[which]] for target, names in self.outputs.items()}

    def columns(
        self, dataset: TableDataset, progress: Progress | None = None, coverage: float | None = None
    ) -> dict[str, Any]:
        batches, parts = [], []
        for done, samples in _batches(dataset):
            if samples:
                batches.append(stack(samples, self.spec))
                parts.append(self.values(batches[-1]))
            if progress is not None:
                progress(done, len(dataset))
        if not batches:
            raise DataError(f"{dataset.table.source}: none of the {len(dataset)} rows can be used")
        values = {name: np.concatenate([part[name] for part in parts]) for name in self.outputs}
        regions: dict[str, np.ndarray] = {}
        if coverage is not None and self.calibration is not None:
            has = {m.name: np.concatenate([present(each, m.name) for each in batches]) for m in self.spec.modalities}
            for target in self.spec.targets:
                found = self.calibration.regions(target, values[target.name], coverage, has)
                regions |= {} if found is None else {target.name: found}
        rows = np.concatenate([batch.rows for batch in batches])
        return prediction_columns(rows, self.spec.targets, values, regions)


def present(batch: Stacked, modality: str) -> np.ndarray:
    """bool ``(rows,)``: which rows of a batch have a real token of a modality."""
    mask = batch.masks.get(modality)
    return np.ones(len(batch.rows), dtype=bool) if mask is None else np.any(mask.reshape(len(mask), -1), axis=1)


def _batches(dataset: TableDataset) -> Iterator[tuple[int, list[Sample]]]:
    """The good rows of a data set, some at a time, and how many rows are read then.

    Raises:
        DataError: for a bad row, unless such rows are skipped.
    """
    for start in range(0, len(dataset), BATCH):
        places = range(start, min(start + BATCH, len(dataset)))
        samples, bad = dataset.samples(places)
        if bad and dataset.on_error == "raise":
            raise dataset.error(bad[0])
        dataset.bad |= {entry.row: entry for entry in bad}
        if not dataset.prepared:
            dataset.losses.count_all([sample.row for sample in samples], {s.row: s.changes for s in samples})
        yield places[-1] + 1, samples


def is_bundle(path: Path) -> bool:
    """Whether a folder is one that `perceiver export` wrote."""
    return (path / BUNDLE).is_file()


def open_predictor(path: str | os.PathLike[str]) -> Predictor:
    """What predicts from a folder: a bundle, or a run.

    Raises:
        ValueError: if it is neither, or damaged.
        ImportError: if it is a run, and PyTorch is not installed.
    """
    if is_bundle(Path(path)):
        return Bundle.open(path)
    check_model(Path(path))
    from perceiver_pytorch.tables.run import Run  # needs PyTorch

    return Run.open(path)


def check_model(path: Path) -> None:
    """Raises where a folder holds nothing that predicts.

    Raises:
        MissingFileError: if it is neither a bundle nor a run.
    """
    if not is_bundle(path) and not (path / RUN).is_file():
        raise MissingFileError(f"{path} is not a run folder: it has no {RUN}; nor is it an export: it has no {BUNDLE}")
