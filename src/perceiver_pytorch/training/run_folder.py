"""The run folder: everything a training run leaves behind, and the only place that knows its file names."""

import contextlib
import io
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from perceiver_pytorch._saving import SavedModel
from perceiver_pytorch.data import InputSpec
from perceiver_pytorch.multi_modality_with_text_perceiver import MultiModalityWithTextPerceiver
from perceiver_pytorch.training.config import FitConfig, dump_config, load_config
from perceiver_pytorch.training.files import write_json, write_text
from perceiver_pytorch.training.knobs import Settings

M = TypeVar("M", bound=SavedModel)
R = TypeVar("R", bound="RunFolder")


@dataclass(frozen=True)
class RunFolder:
    """A run's files.

    ``config.yaml`` (what was asked for, in full) · ``input_spec.json`` (what was learned about the table) ·
    ``model.safetensors`` and ``config.json`` (the best model; a folder for ``from_pretrained``) · ``metrics.json`` ·
    ``history.csv`` (per epoch) · ``report.html`` · ``checkpoints/best.ckpt`` and ``last.ckpt`` · ``tensorboard/``
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
    def finished(self) -> bool:
        """Whether training came to its end (its epochs, or early stopping) and was measured."""
        return self.metrics_file.is_file() and self.metrics().get("stopped") is None

    @classmethod
    def create(cls: type[R], path: Path) -> R:
        """A new run at ``path``.

        Raises:
            ValueError: if there is something already.
        """
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
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
        if not run.config_file.is_file():
            raise ValueError(f"{path} is no run folder: it has no {run.config_file.name}")
        return run

    def write_config(self, config: Settings) -> None:
        write_text(self.config_file, dump_config(config))

    def config(self) -> FitConfig:
        return load_config(self.config_file, FitConfig())

    def write_spec(self, spec: InputSpec) -> None:
        write_json(self.spec_file, spec.to_dict())

    def spec(self) -> InputSpec:
        return InputSpec.from_dict(self._read(self.spec_file))

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
                os.replace(staging / name, self.path / name)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def model(self) -> MultiModalityWithTextPerceiver:
        """The trained model, in evaluation mode.

        Raises:
            ValueError: if the run has none yet.
        """
        return self.load(MultiModalityWithTextPerceiver)

    def load(self, kind: type[M]) -> M:
        """The trained model of class ``kind``; else as `model`."""
        if not (self.path / "model.safetensors").is_file():
            raise ValueError(
                f"run {self.path} has no model yet; go on training with `perceiver {self.command} --resume {self.path}`"
            )
        with contextlib.redirect_stdout(io.StringIO()):  # huggingface_hub prints that it reads a folder
            model = kind.from_pretrained(self.path, local_files_only=True)
        assert isinstance(model, kind)
        return model.eval()

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ValueError(f"run {self.path} has no {path.name}; was its training stopped early?") from None
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is no JSON file: {error}") from None
