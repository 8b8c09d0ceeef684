"""The run folder of a language model."""

import hashlib
from pathlib import Path
from typing import Any, cast

from perceiver_pytorch._files import write_json
from perceiver_pytorch._saved_files import DamagedFileError, fitting, read_yaml
from perceiver_pytorch._settings import typed
from perceiver_pytorch.data.errors import DataError
from perceiver_pytorch.models.text.perceiver_ar import PerceiverAR
from perceiver_pytorch.models.text.perceiver_lm import PerceiverLM
from perceiver_pytorch.training.language.settings import LanguageConfig
from perceiver_pytorch.training.language.text_file import Bytes
from perceiver_pytorch.training.run.folder import RunFolder


class LanguageRun(RunFolder):
    """A run's files, as in `RunFolder`, and:

    ``curve.svg`` (bits per byte over the steps, next to the baselines) · ``text.json`` (its length and checksum)
    """

    command = ("language", "FILE")
    defaults = LanguageConfig()

    @property
    def curve_file(self) -> Path:
        return self.path / "curve.svg"

    @property
    def text_file(self) -> Path:
        return self.path / "text.json"

    @property
    def _written(self) -> tuple[Path, ...]:
        return *super()._written, self.curve_file, self.text_file

    def check_text(self, text: Bytes) -> None:
        """Raises a `DataError` if the run began with another text."""
        if not self.text_file.is_file() or (kept := self._read(self.text_file)) == checksum(text):
            return
        with fitting(self.text_file, "length and checksum of a text"):
            length = typed("bytes", kept["bytes"], int)
        raise DataError(
            f"run {self.path} began with another text (of {length:,} bytes; this one has {len(text):,}). "
            "Restore that text, or start a new run; `perceiver evaluate` measures a model on other texts"
        )

    def write_text(self, text: Bytes) -> None:
        """Keeps what tells texts apart."""
        write_json(self.text_file, checksum(text))

    @classmethod
    def is_at(cls, path: Path) -> bool:
        """Whether ``path`` is the run of a language model: its configuration names an objective."""
        file = cls(path).config_file
        try:
            return file.is_file() and "objective" in read_yaml(file)
        except DamagedFileError:
            return False

    @classmethod
    def open_language(cls, path: Path) -> "LanguageRun":
        """The run at ``path``.

        Raises:
            ValueError: if there is none, or it is not one of a language model.
        """
        run = cls.open(path)
        if not cls.is_at(path):
            raise ValueError(f"{path} is not a run of `perceiver language`")
        return run

    def config(self) -> LanguageConfig:
        return cast(LanguageConfig, super().config())

    def causal_model(self) -> PerceiverAR:
        """The trained causal model; ValueError if the run has another, or none yet."""
        self._require("causal", "masked models fill gaps: perceiver fill")
        return self.load(PerceiverAR)

    def masked_model(self) -> PerceiverLM:
        """The trained masked model; ValueError if the run has another, or none yet."""
        self._require("masked", "causal models continue a prompt: perceiver generate")
        return self.load(PerceiverLM)

    def language_model(self) -> PerceiverAR | PerceiverLM:
        """The trained model, whichever it is."""
        return self.load(PerceiverAR) if self.config().objective == "causal" else self.load(PerceiverLM)

    def _require(self, objective: str, otherwise: str) -> None:
        has = self.config().objective
        if has != objective:
            raise ValueError(f"run {self.path} has a {has} model, a {objective} one is needed; {otherwise}")


def checksum(text: Bytes) -> dict[str, Any]:
    """What tells texts apart."""
    return {"bytes": len(text), "sha256": hashlib.sha256(text.data).hexdigest()}
