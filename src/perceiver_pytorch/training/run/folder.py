"""The folder that a run leaves behind: the files of every kind of run, and the only place that knows their names."""

import dataclasses
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, get_type_hints

from perceiver_pytorch._files import (
    DiskFullError,
    is_disk_full,
    remove_partials,
    write_json,
    write_text,
    write_whole,
)
from perceiver_pytorch._saved_files import DamagedFileError, MissingFileError, fitting, read_json, read_yaml
from perceiver_pytorch._settings import Settings, as_before, dump_config, load_config, typed
from perceiver_pytorch.training.run.divergence import Divergence, all_finite
from perceiver_pytorch.training.run.lock import is_held, locked

TENSORBOARD = "tensorboard"
"""The folder of what TensorBoard shows."""

M = TypeVar("M")
R = TypeVar("R", bound="RunFolder")


class Saved(Protocol):
    """A model that writes ``config.json`` and ``model.safetensors`` into a folder."""

    def save_pretrained(self, save_directory: Path) -> Any: ...


@dataclass(frozen=True)
class RunFolder:
    """A run's files; each task has a subclass with its own files, its configuration and its models.

    ``config.yaml`` (what was asked for, in full) · ``model.safetensors`` and ``config.json`` (the best model; a folder
    for ``from_pretrained``) · ``calibration.json`` (of its outputs, if rows said anything of it) · ``metrics.json`` ·
    ``history.csv`` (per epoch) · ``checkpoints/best.ckpt`` and ``last.ckpt`` · ``tensorboard/`` (or what ``--logger``
    names instead: ``csv/``, ``logged.json``) · while a process trains: ``.lock`` · where training diverged:
    ``diverged.json``

    Attributes:
        command: the command that makes such runs, and its argument.
        defaults: settings of such runs.
    """

    path: Path
    command: ClassVar[tuple[str, str]]
    defaults: ClassVar[Settings]

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.json"

    @property
    def history_file(self) -> Path:
        return self.path / "history.csv"

    @property
    def model_files(self) -> tuple[Path, Path]:
        """Configuration and weights of the model, which ``from_pretrained`` reads."""
        return self.path / "config.json", self.path / "model.safetensors"

    @property
    def calibration_file(self) -> Path:
        """What calibrates the model's outputs; the model reads and writes it, if it has any."""
        return self.path / "calibration.json"

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
    def divergence_file(self) -> Path:
        return self.path / "diverged.json"

    @property
    def csv(self) -> Path:
        """The folder of the CSV logger."""
        return self.path / "csv"

    @property
    def logged_file(self) -> Path:
        """What services that log call this run."""
        return self.path / "logged.json"

    @property
    def lock_file(self) -> Path:
        return self.path / ".lock"

    @property
    def resume_command(self) -> str:
        """The command that continues this run, for messages."""
        return f"perceiver {self.command[0]} --resume {self.path}"

    @classmethod
    def create(cls: type[R], path: Path) -> R:
        """A new run at ``path``.

        Raises:
            ValueError: if something is there already.
        """
        if path.exists() and (not path.is_dir() or _holds_something(path)):
            raise ValueError(
                f"run folder {path} is not empty; choose another with --run, or continue its run with --resume {path}"
            )
        path.mkdir(parents=True, exist_ok=True)
        return cls(path)

    @classmethod
    def open(cls: type[R], path: Path) -> R:
        """The run at ``path``.

        Raises:
            ValueError: if there is none.
        """
        run = cls(path)
        if run.config_file.is_file():
            return run
        if path.is_dir() and not _holds_something(path):
            raise MissingFileError(
                f"run {path} has nothing to resume: it ended before its configuration was written; "
                f"start it again with perceiver {' '.join(cls.command)} --run {path}"
            )
        raise MissingFileError(f"{path} is not a run folder: it has no {run.config_file.name}")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keeps other processes from writing into the folder, and removes the half-written files of a killed one.

        Raises:
            ValueError: if another process is writing.
        """
        with locked(self.lock_file):
            remove_partials(self.path, self.checkpoints)
            yield

    def check_held(self) -> None:
        """Raises a `FileNotFoundError` if the folder is no longer the one that `writing` began with."""
        if not is_held(self.lock_file):
            raise self.removed()

    def removed(self) -> FileNotFoundError:
        """The error for a folder that somebody else removed."""
        return FileNotFoundError(
            f"run folder {self.path} was removed or replaced while it was being trained; nothing more is saved"
        )

    def discard(self) -> None:
        """Removes what a run writes, of one that never began: its folder is then free for another."""
        for path in self._written:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    @property
    def _written(self) -> tuple[Path, ...]:
        """Whatever a run writes, besides its lock."""
        files = self.config_file, self.metrics_file, self.history_file, self.divergence_file, self.calibration_file
        return *files, *self.model_files, self.checkpoints, self.path / TENSORBOARD, self.csv, self.logged_file

    def found(self, name: str) -> str:
        """A path of the configuration, which starts at the directory where the run began.

        Whoever resumes it from elsewhere means the same file: where there is none here, it is looked for in the folders
        above the run. Names without a suffix are no files: they may be built-in.
        """
        if Path(name).exists() or Path(name).is_absolute() or not Path(name).suffix:
            return name
        places = (folder / name for folder in self.path.absolute().parents)
        return next((str(place) for place in places if place.is_file()), name)

    def write_config(self, config: Settings) -> None:
        write_text(self.config_file, dump_config(config))

    def config(self) -> Settings:
        """What the run was configured with.

        Raises:
            DamagedFileError: if the file is damaged; a part of it is, too: every run has these three groups.
        """
        if missing := {"data", "model", "training"} - read_yaml(self.config_file).keys():
            raise DamagedFileError(f"{self.config_file} must have {', '.join(sorted(missing))}; copy the file again")
        return load_config(self.config_file, as_before(self.defaults))

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        write_json(self.metrics_file, metrics)

    def metrics(self) -> dict[str, Any]:
        return self._read(self.metrics_file)

    def write_divergence(self, divergence: Divergence) -> None:
        write_json(self.divergence_file, dataclasses.asdict(divergence))

    def divergence(self) -> Divergence | None:
        """Where training diverged; None if it did not."""
        if not self.divergence_file.is_file():
            return None
        hints = get_type_hints(Divergence)
        with fitting(self.divergence_file, "where a run diverged"):
            values = self._read(self.divergence_file).items()
            return Divergence(**{name: typed(name, value, hints[name]) for name, value in values})

    def write_model(self, model: Saved) -> None:
        """Writes weights and configuration in a folder beside, then moves them to their places."""
        staging = self.path / ".model.partial"
        try:
            model.save_pretrained(staging)
            self.calibration_file.unlink(missing_ok=True)
            if (staging / self.calibration_file.name).is_file():
                write_whole(self.calibration_file, partial(os.replace, staging / self.calibration_file.name))
            for file in self.model_files:
                write_whole(file, partial(os.replace, staging / file.name))
        except Exception as error:
            if is_disk_full(error):
                raise DiskFullError.at(self.model_files[1]) from error
            raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def load(self, kind: type[M]) -> M:
        """The trained model of class ``kind``, in evaluation mode.

        Raises:
            ValueError: if the run has none yet.
            DamagedFileError: if its files are damaged, or its weights are not finite.
        """
        self._require_model()
        model: Any = kind.from_pretrained(self.path)  # type: ignore[attr-defined]
        if not all_finite(model):
            raise DamagedFileError(
                f"the model of run {self.path} has weights that are not finite: its training diverged, or "
                f"{self.model_files[1]} is damaged"
            )
        return model

    def _require_model(self) -> None:
        if not self.model_files[1].is_file() and (divergence := self.divergence()) is not None:
            raise MissingFileError(f"run {self.path} has no model: {divergence}. {divergence.remedy}")
        if not self.model_files[1].is_file():
            raise MissingFileError(
                f"run {self.path} has no model yet; continue its training with `{self.resume_command}`"
            )

    def _read(self, path: Path) -> dict[str, Any]:
        if not path.exists():
            raise MissingFileError(f"run {self.path} has no {path.name}; was its training stopped early?")
        return read_json(path)


def _holds_something(path: Path) -> bool:
    """Whether a folder holds more than what a process that was killed at once leaves."""
    return any(not (inner.name == ".lock" or inner.name.endswith(".partial")) for inner in path.iterdir())


def free_folder(table: str) -> Path:
    """runs/NAME, or runs/NAME-2, .. where there is one."""
    name = Path(table.removesuffix(".gz")).stem
    number = 1
    while True:
        path = Path("runs") / (name if number == 1 else f"{name}-{number}")
        if not path.exists():
            return path
        number += 1


def remove_if_empty(path: Path) -> None:
    """Removes a folder that holds nothing."""
    if path.is_dir() and not any(path.iterdir()):
        path.rmdir()
