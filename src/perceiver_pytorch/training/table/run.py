"""The run folder of a model of tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from perceiver_pytorch._checks import UnknownKeyError
from perceiver_pytorch._files import write_json
from perceiver_pytorch._saved_files import DamagedFileError, fitting
from perceiver_pytorch._settings import typed
from perceiver_pytorch.data import InputSpec
from perceiver_pytorch.data.calibration import calibration_of
from perceiver_pytorch.data.unusual import unusual_of
from perceiver_pytorch.training.run.folder import RunFolder
from perceiver_pytorch.training.table.settings import FitConfig

if TYPE_CHECKING:
    from perceiver_pytorch.training.start.published import RunModel


class TableRun(RunFolder):
    """A run's files, as in `RunFolder`, and:

    ``input_spec.json`` (what was learned about the table) · ``table.json`` (what tells whether the table is still the
    same) · ``warnings.json`` (what was doubtful about it) · ``report.html``
    """

    command = ("fit", "TABLE")
    defaults = FitConfig()

    @property
    def spec_file(self) -> Path:
        return self.path / "input_spec.json"

    @property
    def table_file(self) -> Path:
        return self.path / "table.json"

    @property
    def warnings_file(self) -> Path:
        return self.path / "warnings.json"

    @property
    def report_file(self) -> Path:
        return self.path / "report.html"

    @property
    def _written(self) -> tuple[Path, ...]:
        return *super()._written, self.spec_file, self.table_file, self.warnings_file, self.report_file

    @property
    def needed_to_predict(self) -> tuple[Path, ...]:
        """The files that a trained model is used by."""
        files = self.config_file, self.spec_file, *self.model_files
        return (*files, self.calibration_file) if self.calibration_file.is_file() else files

    def config(self) -> FitConfig:
        try:
            return cast(FitConfig, super().config())
        except DamagedFileError as error:
            if not isinstance(error.__cause__, UnknownKeyError):
                raise
            raise DamagedFileError(
                f"{error}. If the run reads a kind of column that another package adds, install that package"
            ) from None

    def write_spec(self, spec: InputSpec) -> None:
        write_json(self.spec_file, spec.to_dict())

    def spec(self) -> InputSpec:
        given = self._read(self.spec_file)
        with fitting(self.spec_file, "what a run learned about its table"):
            return InputSpec.from_dict(given)

    def write_table(self, fingerprint: Mapping[str, Any]) -> None:
        write_json(self.table_file, fingerprint)

    def table(self) -> dict[str, Any]:
        return self._read(self.table_file)

    def write_warnings(self, warnings: Sequence[str]) -> None:
        write_json(self.warnings_file, {"warnings": list(warnings)})

    def warnings(self) -> list[str]:
        """What was doubtful about the table when the run began; runs of earlier versions did not write it down."""
        if not self.warnings_file.is_file():
            return []
        with fitting(self.warnings_file, "a list of warnings"):
            return typed("warnings", self._read(self.warnings_file)["warnings"], list[str])

    def model(self) -> "RunModel":
        """The trained model, in evaluation mode.

        Raises:
            DamagedFileError: if the run has none yet, or its files are damaged or do not fit each other.
        """
        from perceiver_pytorch.models.blended import BlendedPerceiver
        from perceiver_pytorch.models.multi_modality_with_text_perceiver import MultiModalityWithTextPerceiver
        from perceiver_pytorch.models.multi_task_perceiver import MultiTaskPerceiver
        from perceiver_pytorch.training.table.build import check_fits

        self._require_model()
        config = self._read(self.model_files[0])
        kind: type = MultiTaskPerceiver if "tasks" in config else MultiModalityWithTextPerceiver
        if "published" in config:
            from perceiver_pytorch.training.start.published import PublishedTableModel

            kind = PublishedTableModel
        elif "trunk" in config:
            kind = BlendedPerceiver
        model: RunModel = self.load(kind)
        spec = self.spec()
        with fitting(self.spec_file):
            check_fits(spec, model)
        with fitting(self.calibration_file):
            calibration_of(model, spec.targets)
            unusual_of(model)
        return model
