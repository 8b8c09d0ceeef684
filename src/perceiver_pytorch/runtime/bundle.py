"""A folder of `perceiver export`: a graph, what was learned about the table, and how tables are read."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from perceiver_pytorch._saved_files import MissingFileError, fitting, read_json
from perceiver_pytorch._settings import read_settings
from perceiver_pytorch.data import DataError, InputSpec, TableDataset
from perceiver_pytorch.data.calibration import Calibration
from perceiver_pytorch.data.choice import Choice
from perceiver_pytorch.data.errors import need
from perceiver_pytorch.data.prediction_columns import prediction_columns, with_reasons
from perceiver_pytorch.data.spec_json import from_json
from perceiver_pytorch.data.stacking import Stacked, stack
from perceiver_pytorch.data.unusual import Unusual
from perceiver_pytorch.runtime.exported import WRITTEN, Exported
from perceiver_pytorch.runtime.graph import is_graph
from perceiver_pytorch.runtime.kept import Kept, batches
from perceiver_pytorch.runtime.signature import GraphInput, arrays_of, inputs_from_json
from perceiver_pytorch.tables.predictor import QUIET, Predictor, Progress
from perceiver_pytorch.tables.rows import Reading
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table.settings import DataConfig

if TYPE_CHECKING:
    from perceiver_pytorch.explain.rows import Explanation
    from perceiver_pytorch.runtime.module import BundleModule

BUNDLE, SPEC, CALIBRATION = "bundle.json", "input_spec.json", "calibration.json"
RUN = "config.yaml"  # what every run folder has, as `RunFolder.config_file`
VALUES, RAW = "values", "raw"
FORWARD_WAYS = ("occlusion",)
"""Ways to explain that need forwards alone."""


@dataclass(frozen=True, repr=False)
class Bundle(Exported, Predictor):
    """An exported model of tables."""

    facts_name = BUNDLE
    source = "run"

    def check(self) -> None:
        _ = self.facts, self.spec

    @cached_property
    def spec(self) -> InputSpec:
        """What the model reads and predicts."""
        given = read_json(self.path / SPEC)
        with fitting(self.path / SPEC, "what a run learned about its table"):
            return InputSpec.from_dict(given)

    @cached_property
    def inputs(self) -> tuple[GraphInput, ...]:
        """What the graph takes."""
        with fitting(self.path / BUNDLE, WRITTEN):
            return inputs_from_json(self.facts["inputs"], [modality.name for modality in self.spec.modalities])

    @cached_property
    def outputs(self) -> dict[str, dict[str, str]]:
        """{target: the names of its outputs in the graph: ``values``, and ``raw``, which they are made of}."""
        with fitting(self.path / BUNDLE, WRITTEN):
            given = self.facts["outputs"]
            found = {str(target): {key: str(names[key]) for key in (VALUES, RAW)} for target, names in given.items()}
            if {*found} != {target.name for target in self.spec.targets}:
                raise ValueError(f"outputs must be those of the targets of {SPEC}, got {', '.join(found)}")
            return found

    @cached_property
    def latents(self) -> str | None:
        """The name in the graph of the pooled latents, by which a row is told to be unlike the train rows."""
        with fitting(self.path / BUNDLE, WRITTEN):
            given = self.facts.get("latents")
            return None if given is None else str(given)

    @cached_property
    def choice(self) -> Choice:
        """Which score stands for all."""
        with fitting(self.path / BUNDLE, WRITTEN):
            return from_json(Choice, self.facts.get("choice", {}), "choice")

    @cached_property
    def data(self) -> DataConfig:
        with fitting(self.path / BUNDLE, WRITTEN):
            return read_settings(DataConfig, self.facts["reading"])

    @cached_property
    def learned(self) -> dict[str, Any] | None:
        """What ``calibration.json`` says; None if the run learned nothing of its outputs."""
        file = self.path / CALIBRATION
        return read_json(file) if file.is_file() else None

    @cached_property
    def calibration(self) -> Calibration | None:
        """How sure the model may be; its probabilities are calibrated by it already."""
        if self.learned is None:
            return None
        with fitting(self.path / CALIBRATION, "what a run learned of its outputs"):
            return Calibration.from_json(self.learned, self.spec.targets)

    @cached_property
    def unusual(self) -> Unusual | None:
        """What is unlike the train rows; None if the run learned nothing of it."""
        given = (self.learned or {}).get("unusual")
        if given is None:
            return None
        with fitting(self.path / CALIBRATION, "what a run learned of its outputs"):
            return Unusual.from_json(given)

    def load(self) -> None:
        _ = self.engine, self.inputs, self.outputs, self.calibration, self.unusual

    def values(self, batch: Stacked) -> dict[str, np.ndarray]:
        """{target: `Target.values` of the rows} of a batch.

        Raises:
            ValueError: if some are not finite.
        """
        return self._values(batch, self._computed(batch))

    def outputs_of(self, batch: Stacked) -> dict[str, np.ndarray]:
        """{target: the model's outputs ``(rows, size)``} of a batch: what `values` are made of."""
        return self.raw(batch)[0]

    def raw(self, batch: Stacked) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
        """`outputs_of`, and the pooled latents ``(rows, width)`` of a graph that gives them."""
        found = self._computed(batch)
        outputs = {target: found[names[RAW]] for target, names in self.outputs.items()}
        return outputs, None if self.latents is None else found[self.latents]

    def _computed(self, batch: Stacked) -> dict[str, np.ndarray]:
        return self.engine(arrays_of(batch, self.spec, self.inputs))

    def _values(self, batch: Stacked, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        values = {target: found[names[VALUES]] for target, names in self.outputs.items()}
        for each in values.values():
            wrong = batch.rows[~np.isfinite(each).reshape(len(each), -1).all(1)]
            if len(wrong):
                raise ValueError(
                    f"the model's outputs are not finite for row {wrong[0]} and {len(wrong) - 1} others: the model "
                    "diverged in training, or a row has numbers that are far too large"
                )
        return values

    def columns(
        self, dataset: TableDataset, progress: Progress | None = None, coverage: float | None = None
    ) -> dict[str, Any]:
        kept = Kept(self.spec)
        for done, samples in batches(dataset):
            if samples:
                batch = stack(samples, self.spec)
                found = self._computed(batch)
                kept.add(batch, self._values(batch, found), None if self.latents is None else found[self.latents])
            if progress is not None:
                progress(done, len(dataset))
        if not kept.rows:
            raise DataError(f"{dataset.table.source}: none of the {len(dataset)} rows can be used")
        rows, values, has, latents = kept.joined()
        regions: dict[str, np.ndarray] = {}
        if coverage is not None and self.calibration is not None:
            for target in self.spec.targets:
                region = self.calibration.regions(target, values[target.name], coverage, has)
                regions |= {} if region is None else {target.name: region}
        columns = prediction_columns(rows, self.spec.targets, values, regions)
        if self.unusual is None:
            return columns
        return with_reasons(columns, self.unusual.reasons(rows, dataset.oddities, latents, has))

    def evaluate(
        self,
        table: Any,
        *,
        split: str | None = None,
        output: str | os.PathLike[str] | None = None,
        worth: bool = False,
        workers: int | None = None,
        root: str | Path | None = None,
        reporter: Reporter = QUIET,
        **reading: Any,
    ) -> dict[str, Any]:
        """Measures the exported model, as `perceiver_pytorch.tables.Run.evaluate` measures a run, without a verdict.

        Args:
            table, split, output, worth, workers, root, reporter: as there.
            **reading: ``on_error``, ``allow_outside``, ``encoding``, ``skip_lines``, ``header``, ``quoting``,
                ``table_mb``, ``cell_mb``, ``allow_web`` and ``where``, as there.

        Raises:
            ImportError: without PyTorch and torchmetrics, which count and compare.
        """
        module = self._module("measure an exported model (to predict needs none)")
        from perceiver_pytorch.tables.evaluating import evaluate

        common: dict[str, Any] = {"split": split, "output": output, "worth": worth, "workers": workers, "root": root}
        return evaluate(self, module, table, Reading(**reading), choice=self.choice, reporter=reporter, **common)

    def explain(
        self,
        table: Any,
        rows: Sequence[int] | None = None,
        *,
        split: str = "all",
        targets: Sequence[str] | None = None,
        ways: Sequence[str] = FORWARD_WAYS,
        output: str | os.PathLike[str] | None = None,
        pieces: int = 64,
        root: str | Path | None = None,
        reporter: Reporter = QUIET,
        **reading: Any,
    ) -> "list[Explanation]":
        """Says what of some rows counts for the answers, by hiding it: occlusion, and what modalities are worth.

        Args:
            table, rows, split, targets, output, pieces, root, reporter: as in `perceiver_pytorch.tables.Run.explain`.
            ways: occlusion alone.
            **reading: as in `evaluate`.

        Raises:
            ValueError: for other ways, which need the run.
            ImportError: without PyTorch.
        """
        if others := [way for way in ways if way not in FORWARD_WAYS]:
            raise ValueError(
                f"an export has no gradients and shows no attention: it is explained by occlusion, and "
                f"{' and '.join(others)} by the run that it was made of: perceiver explain RUN TABLE"
            )
        module = self._module("explain an exported model (to predict needs none)")
        from perceiver_pytorch.explain.apart import Apart
        from perceiver_pytorch.explain.page import write_explanations
        from perceiver_pytorch.tables.explaining import explain

        data = Reading(**reading).adapt(self.data)
        source, found = explain(
            module,
            self.spec,
            data,
            table,
            rows=rows,
            split=split,
            targets=targets,
            ways=ways,
            steps=1,
            pieces=pieces,
            apart=Apart(),
            root=root,
            reporter=reporter,
        )
        if output is not None:
            page = write_explanations(Path(output), found, model=self.path.name, table=source, metrics={})
            reporter.say(f"{len({each.row for each in found}):,} rows explained in {page}")
        return found

    def _module(self, purpose: str) -> "BundleModule":
        """The bundle as a module of PyTorch.

        Raises:
            ImportError: without PyTorch.
        """
        need("torch", purpose, extra="train")
        from perceiver_pytorch.runtime.module import BundleModule

        self.load()
        return BundleModule(self.raw, self.spec, self.learned, has_latents=self.latents is not None)


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
    if is_graph(path):
        raise MissingFileError(
            f"{path} is an export of a model without a table, which takes arrays: perceiver_pytorch.runtime.open_graph"
        )
    if not is_bundle(path) and not (path / RUN).is_file():
        raise MissingFileError(f"{path} is not a run folder: it has no {RUN}; nor is it an export: it has no {BUNDLE}")
