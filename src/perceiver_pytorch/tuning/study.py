"""The study of a search: its folder, its settings, and the database that processes and machines share."""

import json
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from perceiver_pytorch._files import write_json, write_text
from perceiver_pytorch._saved_files import MissingFileError, fitting, read_json
from perceiver_pytorch._settings import as_before, dump_config, load_config
from perceiver_pytorch.data.errors import need
from perceiver_pytorch.training.table.settings import FitConfig
from perceiver_pytorch.tuning.space import Dimension

DEFAULT_TRIALS = 20
_HEARTBEAT, _GRACE = 30, 120
"""Seconds after which a trial tells that it lives, and after which one that does not is taken for dead."""
_STARTUP, _WARMUP = 5, 3
"""Trials that are never pruned, and tenths of a trial in which none is."""
NAME = "perceiver"


@dataclass(frozen=True)
class Plan:
    """What is searched, and how long.

    Attributes:
        config: the settings that every trial begins with.
        space: what differs between trials.
        trials: how many there are in all.
        trial_seconds: of each, at most; None: as long as its steps take.
        storage: URL of the database; None: a file in the folder.
    """

    config: FitConfig
    space: tuple[Dimension, ...]
    trials: int = DEFAULT_TRIALS
    trial_seconds: float | None = None
    storage: str | None = None


@dataclass(frozen=True)
class StudyFolder:
    """The files of a search.

    ``config.yaml`` (the settings that every trial begins with) · ``search.json`` (what is tried) · ``trials.sqlite``
    (all trials, unless another database has them) · ``trials/`` (run folders of those that run, and of the best) ·
    ``best/`` (the run folder of the best trial, finished) · ``best.yaml`` · ``report.html`` · ``trials.csv``
    """

    path: Path

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def search_file(self) -> Path:
        return self.path / "search.json"

    @property
    def best(self) -> Path:
        return self.path / "best"

    @property
    def has_results(self) -> bool:
        """Whether a trial was trained to its end here."""
        return any(self.path.glob("trials/*/metrics.json"))

    @property
    def lock_file(self) -> Path:
        return self.path / ".lock"

    def trial(self, number: int) -> Path:
        """The run folder of a trial."""
        return self.path / "trials" / f"{number:04}"

    def create(self, plan: Plan) -> None:
        """Writes what is searched into a new folder.

        Raises:
            ValueError: if the folder holds something.
        """
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise ValueError(
                f"folder {self.path} is not empty; choose another with --run, or go on with --resume {self.path}"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(self.config_file, dump_config(plan.config))
        self.write_search(plan)  # last: a folder with it is whole

    def discard(self) -> None:
        """Removes a search that came to nothing: its folder is then free for another."""
        shutil.rmtree(self.path, ignore_errors=True)

    def write_search(self, plan: Plan) -> None:
        """Writes what is tried, and how long."""
        write_json(
            self.search_file,
            {
                "space": [dimension.to_json() for dimension in plan.space],
                "trials": plan.trials,
                "trial_seconds": plan.trial_seconds,
                "storage": plan.storage and without_password(plan.storage),
            },
        )

    def plan(self) -> Plan:
        """What the folder was made for.

        Raises:
            MissingFileError: if it is no folder of a search.
            DamagedFileError: if its files are damaged.
        """
        if not self.search_file.is_file():
            raise MissingFileError(f"{self.path} is no folder of perceiver tune: it has no {self.search_file.name}")
        given = read_json(self.search_file)
        with fitting(self.search_file, "what perceiver tune tries"):
            space = tuple(map(Dimension.from_json, given["space"]))
            plan = Plan(FitConfig(), space, int(given["trials"]), given["trial_seconds"], given["storage"])
        return replace(plan, config=load_config(self.config_file, as_before(FitConfig())))


def optuna() -> Any:
    """The library, which tells errors alone.

    Raises:
        ImportError: if it is not installed; the message names the extra.
    """
    library = need("optuna", "search for settings", extra="tune")
    library.logging.set_verbosity(library.logging.ERROR)
    warnings.simplefilter("ignore", library.exceptions.ExperimentalWarning)
    return library


def open_study(folder: StudyFolder, plan: Plan) -> Any:
    """Optuna's study of a folder, made if it is not there; processes with one database share it.

    Raises:
        ValueError: if the database has a study of other settings, or cannot be opened.
    """
    library = optuna()
    url = plan.storage or f"sqlite:///{folder.path / 'trials.sqlite'}"
    try:
        storage = library.storages.RDBStorage(
            url,
            engine_kwargs={"connect_args": {"timeout": 60}} if url.startswith("sqlite") else None,
            heartbeat_interval=_HEARTBEAT,
            grace_period=_GRACE,
        )
        study = library.create_study(
            study_name=NAME if plan.storage is None else f"{NAME}-{folder.path.name}",
            storage=storage,
            direction="maximize",
            load_if_exists=True,
            sampler=library.samplers.TPESampler(multivariate=True, group=True, constant_liar=True),
            pruner=library.pruners.MedianPruner(_STARTUP, _WARMUP),
        )
    except Exception as error:  # of SQLAlchemy, of a driver, or of Optuna: all of what the URL leads to
        raise ValueError(f"the trials cannot be kept in {without_password(url)}: {_first_line(error)}") from error
    told = {"config": dump_config(plan.config), "space": json.dumps([dimension.to_json() for dimension in plan.space])}
    known = {**told, **{name: study.user_attrs[name] for name in told if name in study.user_attrs}}
    if known != told:
        raise ValueError(
            f"{without_password(url)} has trials of {study.study_name!r} with other settings; give another --run or "
            "--storage, or go on with perceiver tune --resume and the folder of those"
        )
    for name, text in told.items():
        study.set_user_attr(name, text)
    return study


HIDDEN = "***"
"""What stands in a URL for its password."""


def without_password(url: str) -> str:
    """A URL as it may be shown and kept."""
    engine = need("sqlalchemy", "keep the trials of a search", extra="tune").engine
    try:
        return engine.make_url(url).render_as_string(hide_password=True)
    except Exception:  # it is no URL, and shown to say so
        return url


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def finished(study: Any) -> Sequence[Any]:
    """Trials that have come to a result, pruned ones included."""
    states = optuna().trial.TrialState
    return [trial for trial in study.trials if trial.state in (states.COMPLETE, states.PRUNED)]


def best_of(trials: Sequence[Any]) -> Any:
    """The trial of the best score among those that were trained to their end; None if there is none."""
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    return max(complete, key=lambda trial: (trial.value, -trial.number), default=None)
