"""Estimators in scikit-learn's conventions, for pipelines, cross-validation and searches over settings."""

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from perceiver_pytorch._settings import with_keywords
from perceiver_pytorch.data import ReadOptions, Table
from perceiver_pytorch.data.errors import need
from perceiver_pytorch.data.losses import told
from perceiver_pytorch.data.readers import checked_table
from perceiver_pytorch.tables.forms import FORMS, ColumnsForm, RowsForm, columns_rows
from perceiver_pytorch.tables.packed import PackedRun
from perceiver_pytorch.tables.rows import ChosenRows
from perceiver_pytorch.tables.training import LINES, QUIET
from perceiver_pytorch.training.run.durations import Deadline, seconds
from perceiver_pytorch.training.run.job import INTERRUPTED, Trained, run_job
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table import evaluation
from perceiver_pytorch.training.table.run import TableRun
from perceiver_pytorch.training.table.settings import FitConfig, preset
from perceiver_pytorch.training.table.task import TableTask

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, check_X_y, validate_data
except ImportError as error:
    raise ImportError(
        f"PerceiverClassifier and PerceiverRegressor need scikit-learn 1.6 or newer ({error}): "
        'pip install "perceiver-multi-modality-pytorch[sklearn]"'
    ) from error

E = TypeVar("E", bound="_PerceiverEstimator")

_FRAMES = [form for form in FORMS if not isinstance(form, RowsForm | ColumnsForm)]


class _TrainOnly(TableTask):
    """Whoever uses an estimator chooses its samples and measures it: nothing is compared, measured or reported here."""

    compares_rows = False

    def measure(self, trained: Trained, reporter: Reporter) -> dict[str, Any]:
        return {}

    def write(self, run: TableRun, trained: Trained, metrics: dict[str, Any]) -> None:
        return


class _PerceiverEstimator(BaseEstimator):
    """What both estimators do; they differ in their target."""

    _target_kind: str

    def __init__(
        self,
        *,
        preset: str = "auto",
        epochs: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        val_fraction: float | None = None,
        columns: Mapping[str, str] | None = None,
        settings: Mapping[str, Any] | None = None,
        time_limit: str | None = None,
        root: str | Path | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.preset = preset
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.val_fraction = val_fraction
        self.columns = columns
        self.settings = settings
        self.time_limit = time_limit
        self.root = root
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        return tags

    def fit(self: E, X: Any, y: Any) -> E:
        """Trains on a table and its target.

        Args:
            X: a pandas, polars or pyarrow table with columns of any kind, or an array ``(samples, features)``; NaN and
                None are missing.
            y: ``(samples,)``.

        Raises:
            DataError: for columns that cannot be used; the message names row and column.
            TypeError, ValueError: for other arguments that cannot be used.
        """
        rows, kinds = self._rows(X, reset=True)
        _, y = check_X_y(np.zeros((len(rows), 1)), y, y_numeric=self._target_kind == "number", estimator=self)
        target, split = (_free_name(name, rows.column_names) for name in ("target", "split"))
        rows = rows.append_column(target, [self._encoded(y)])
        config = self._config(target, kinds)
        if len(rows) * config.data.val_fraction < 1:  # too few rows to give any away: validated on those it learns from
            rows = _twice(rows, split)
            config = with_keywords(config, {"split": split})
        elif config.data.split is None and "split" in map(
            str.lower, rows.column_names
        ):  # here it is a column as others
            rows = rows.append_column(split, [["train"] * len(rows)])
            config = with_keywords(config, {"split": split})
        self.trained_ = self._trained(config, self._table(rows))
        return self

    def _rows(self, X: Any, *, reset: bool) -> tuple[Any, dict[str, str]]:
        """``X`` as an Arrow table, and the kinds of its columns that are no matter of recognition."""
        form = next((form for form in _FRAMES if form.fits(X)), None)
        if form is not None:
            validate_data(self, X, reset=reset, skip_check_array=True)
            table = form.table(X, Path(), ReadOptions(stream=False))
            assert isinstance(table, Table)  # rows that are not to stay on the disk are in memory
            return table.rows, {}
        X = validate_data(self, X, reset=reset, dtype=None, ensure_all_finite="allow-nan")
        columns = {f"x{i}": _numbers(X[:, i]) for i in range(X.shape[1])}
        kinds = {name: "number" for name, cells in columns.items() if cells.dtype.kind == "f"}
        return columns_rows(columns, type(self).__name__), kinds

    def _encoded(self, y: np.ndarray) -> np.ndarray:
        """``y`` as cells of the target column."""
        raise NotImplementedError

    def _table(self, rows: Any) -> Table:
        return checked_table(Table(type(self).__name__, Path.cwd() if self.root is None else Path(self.root), rows))

    def _config(self, target: str, kinds: dict[str, str]) -> FitConfig:
        """The settings of a fit."""
        given = {name: getattr(self, name) for name in ("epochs", "batch_size", "lr", "val_fraction")}
        options = {name: value for name, value in given.items() if value is not None} | dict(self.settings or {})
        options["columns"] = kinds | dict(options.get("columns", {})) | dict(self.columns or {})
        options |= {"target": target, "target_kinds": {target: self._target_kind}}
        options["seed"] = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        return with_keywords(preset(self.preset), options)

    def _trained(self, config: FitConfig, table: Table) -> PackedRun:
        """Trains in a folder that does not stay, with random numbers of its own."""
        deadline = None if self.time_limit is None else Deadline(seconds(self.time_limit, "time_limit"))
        reporter = LINES if self.verbose else QUIET
        with tempfile.TemporaryDirectory() as place, torch.random.fork_rng():
            folder = TableRun.create(Path(place) / "run")
            task = _TrainOnly(config, table, deadline=deadline)
            outcome = run_job(task, folder, deadline=deadline, reporter=reporter)
            if outcome.stopped == INTERRUPTED:
                raise KeyboardInterrupt
            return PackedRun(folder)

    def _outputs(self, X: Any) -> torch.Tensor:
        """float64 ``(samples, ..)``: probabilities, or numbers."""
        check_is_fitted(self)
        rows, _ = self._rows(X, reset=False)
        run = self.trained_.run
        data = dataclasses.replace(run.config.data, on_error="raise")
        chosen = ChosenRows(self._table(rows), np.arange(len(rows)), "all", None)
        dataset = chosen.dataset(run.spec, data, None, QUIET, require_target=False)
        predictions = evaluation.predict(run.model, dataset)
        for line in told(dataset.losses.lines()):
            QUIET.warn(line)
        (target,) = run.spec.targets
        return target.values(predictions.outputs[target.name].double())


class PerceiverClassifier(ClassifierMixin, _PerceiverEstimator):
    """A Perceiver that predicts one of several classes from columns of any kind: numbers, categories, text, pictures ..

    Training stops early and keeps the best epoch, by a part of the samples that is kept back for it.

    Args:
        preset: size of the model: auto (by the table), tiny, small or base.
        epochs: passes over the samples, at most. None, here and below: as the preset says.
        batch_size: samples per step.
        lr: peak learning rate.
        val_fraction: share of the samples that choose the best epoch.
        columns: {column: kind}, where it is not recognised; those of an array are called x0, x1 ..
        settings: any other settings, by the names that `perceiver_pytorch.tables.fit` has for them.
        time_limit: the longest that this takes, as ``"5m"``.
        root: folder that paths of files in cells start at; None: the current one.
        random_state: fixes weights, order and dropout.
        verbose: print what happens.

    Attributes:
        classes_: the classes, sorted.
        n_features_in_, feature_names_in_: of the columns.
        trained_: the model (`PackedRun`), which is pickled with the estimator.
    """

    _target_kind = "class"

    def _encoded(self, y: np.ndarray) -> np.ndarray:
        check_classification_targets(y)
        self.classes_, encoded = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            one = str(self.classes_[0])
            raise ValueError(f"PerceiverClassifier needs samples of 2 classes or more, all have the one class {one!r}")
        return encoded

    def predict_proba(self, X: Any) -> np.ndarray:
        """float64 ``(samples, classes)``: the probability of each class, in the order of ``classes_``."""
        return self._outputs(X).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """``(samples,)``: the most probable class."""
        chosen = self._outputs(X).argmax(-1).numpy()
        return self.classes_[chosen]


class PerceiverRegressor(RegressorMixin, _PerceiverEstimator):
    """A Perceiver that predicts a number from columns of any kind.

    Args:
        preset, epochs, batch_size, lr, val_fraction, columns, settings, time_limit, root, random_state, verbose: as in
            `PerceiverClassifier`.

    Attributes:
        n_features_in_, feature_names_in_: of the columns.
        trained_: the model (`PackedRun`), which is pickled with the estimator.
    """

    _target_kind = "number"

    def _encoded(self, y: np.ndarray) -> np.ndarray:
        if len(y) < 2:
            raise ValueError(f"PerceiverRegressor needs at least 2 samples, got n_samples = {len(y)}")
        return y.astype(np.float64)

    def predict(self, X: Any) -> np.ndarray:
        """float64 ``(samples,)``: the numbers."""
        return self._outputs(X)[:, 0].numpy()


def _numbers(cells: np.ndarray) -> np.ndarray:
    """A column of an array as float64 where all its cells are numbers, else as it is."""
    try:
        return cells.astype(np.float64)
    except (TypeError, ValueError):
        return cells


def _twice(rows: Any, split: str) -> Any:
    """Every row to train on, and again to validate on."""
    arrow = need("pyarrow", "read tables")
    parts = [rows.append_column(split, [[part] * len(rows)]) for part in ("train", "val")]
    return arrow.concat_tables(parts)


def _free_name(name: str, taken: list[str]) -> str:
    """``name``, with underscores behind it where a column has that name."""
    while name in taken:
        name += "_"
    return name
