"""The run folder: everything a training run leaves behind, and the only place that knows its file names."""

import contextlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from perceiver_pytorch._files import (
    DiskFullError,
    is_disk_full,
    remove_partials,
    write_json,
    write_text,
    write_whole,
)
from perceiver_pytorch._settings import Settings, dump_config, load_config
from perceiver_pytorch.data import InputSpec
from perceiver_pytorch.models.multi_modality_with_text_perceiver import MultiModalityWithTextPerceiver
from perceiver_pytorch.models.multi_task_perceiver import MultiTaskPerceiver
from perceiver_pytorch.models.saving import SavedModel
from perceiver_pytorch.training.run.lock import locked
from perceiver_pytorch.training.start.published import PublishedTableModel, RunModel
from perceiver_pytorch.training.table.settings import FitConfig

M = TypeVar("M", bound=SavedModel)
R = TypeVar("R", bound="RunFolder")


@dataclass(frozen=True)
class RunFolder:
    """A run's files.

    ``config.yaml`` (what was asked for, in full) · ``input_spec.json`` (what was learned about the table) ·
    ``table.json`` (what tells whether the table is still the same) ·
    ``model.safetensors`` and ``config.json`` (the best model; a folder for ``from_pretrained``) · ``metrics.json`` ·
    ``history.csv`` (per epoch) · ``report.html`` · ``checkpoints/best.ckpt`` and ``last.ckpt`` · ``tensorboard/`` ·
    while a process trains: ``.lock``
    """

    path: Path
    command: ClassVar[str] = "fit"

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def spec_file(self) -> Path:
        return self.path / "input_spec.json"

    @property
    def table_file(self) -> Path:
        return self.path / "table.json"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.json"

    @property
    def history_file(self) -> Path:
        return self.path / "history.csv"

    @property
    def report_file(self) -> Path:
        return self.path / "report.html"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        return self.checkpoints / "best.ckpt"

    @property
    def last(self) -> Path:
        return self.checkpoints / "last.ckpt"

    @property
    def lock_file(self) -> Path:
        return self.path / ".lock"

    @classmethod
    def create(cls: type[R], path: Path) -> R:
        """A new run at ``path``.

        Raises:
            ValueError: if there is something already.
        """
        if path.exists() and (not path.is_dir() or _holds_something(path)):
            raise ValueError(
                f"run folder {path} is not empty; give another one with --run, or go on with --resume {path}"
            )
        path.mkdir(parents=True, exist_ok=True)
        return cls(path)

    @classmethod
    def open(cls: type[R], path: Path) -> R:
        """The run at ``path``.

        Raises:
            ValueError: if it is none.
        """
        run = cls(path)
        if run.config_file.is_file():
            return run
        if path.is_dir() and not _holds_something(path):
            raise ValueError(
                f"run {path} holds nothing to go on with: it ended before its configuration was written; "
                f"start it anew with perceiver fit TABLE --run {path}"
            )
        raise ValueError(f"{path} is no run folder: it has no {run.config_file.name}")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keeps other processes from writing into the folder, and removes what a killed one left half written.

        Raises:
            ValueError: if another process is writing.
        """
        with locked(self.lock_file):
            remove_partials(self.path, self.checkpoints)
            yield

    def forget(self) -> None:
        """Removes what was written before training began."""
        for path in (self.config_file, self.spec_file, self.table_file):
            path.unlink(missing_ok=True)

    def write_config(self, config: Settings) -> None:
        write_text(self.config_file, dump_config(config))

    def config(self) -> FitConfig:
        return load_config(self.config_file, FitConfig())

    def write_spec(self, spec: InputSpec) -> None:
        write_json(self.spec_file, spec.to_dict())

    def spec(self) -> InputSpec:
        return InputSpec.from_dict(self._read(self.spec_file))

    def write_table(self, fingerprint: Mapping[str, Any]) -> None:
        write_json(self.table_file, fingerprint)

    def table(self) -> dict[str, Any]:
        return self._read(self.table_file)

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        write_json(self.metrics_file, metrics)

    def metrics(self) -> dict[str, Any]:
        return self._read(self.metrics_file)

    def write_model(self, model: SavedModel) -> None:
        """Writes weights and configuration in a folder beside, then moves them to their places."""
        staging = self.path / ".model.partial"
        try:
            model.save_pretrained(staging)
            for name in ("config.json", "model.safetensors"):
                write_whole(self.path / name, partial(os.replace, staging / name))
        except Exception as error:
            if is_disk_full(error):
                raise DiskFullError.at(self.path / "model.safetensors") from error
            raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def model(self) -> RunModel:
        """The trained model, in evaluation mode.

        Raises:
            ValueError: if the run has none yet.
        """
        self._require_model()
        config = self._read(self.path / "config.json")
        if "published" in config:
            return self.load(PublishedTableModel)
        if "tasks" in config:
            return self.load(MultiTaskPerceiver)
        return self.load(MultiModalityWithTextPerceiver)

    def load(self, kind: type[M]) -> M:
        """The trained model of class ``kind``; else as `model`."""
        self._require_model()
        with contextlib.redirect_stdout(io.StringIO()):  # huggingface_hub prints that it reads a folder
            model = kind.from_pretrained(self.path, local_files_only=True)
        assert isinstance(model, kind)
        return model.eval()

    def _require_model(self) -> None:
        if not (self.path / "model.safetensors").is_file():
            raise ValueError(
                f"run {self.path} has no model yet; go on training with `perceiver {self.command} --resume {self.path}`"
            )

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ValueError(f"run {self.path} has no {path.name}; was its training stopped early?") from None
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is no JSON file: {error}") from None


def _holds_something(path: Path) -> bool:
    """Whether a folder holds more than what a process that was killed at once leaves."""
    return any(not (inner.name == ".lock" or inner.name.endswith(".partial")) for inner in path.iterdir())
