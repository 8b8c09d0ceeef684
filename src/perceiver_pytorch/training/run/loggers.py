"""Where losses and scores of a run are logged: Lightning's loggers, by their names."""

import os
from collections.abc import Callable
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from perceiver_pytorch._files import write_json
from perceiver_pytorch._saved_files import read_json
from perceiver_pytorch._settings import all_settings, value_at
from perceiver_pytorch.training.run.folder import TENSORBOARD, RunFolder
from perceiver_pytorch.training.run.settings import logger_names

PROJECT = "perceiver"
"""The experiment of MLflow, and the project of Weights & Biases."""


def build_loggers(text: str, run: RunFolder, *, resume: bool, step: int) -> list[Logger]:
    """The loggers of a run.

    Args:
        text: their names, as the setting has them.
        run: the run folder, with its configuration.
        resume: a stopped run goes on, and so does what was logged of it.
        step: that it goes on from.

    Raises:
        ImportError: if the library of one is not installed; the message names the extra.
        ValueError: if a service cannot be logged to.
    """
    return [_made(name, run, resume, step) for name in logger_names(text)]


def _made(name: str, run: RunFolder, resume: bool, step: int) -> Logger:
    try:
        return _MAKERS[name](run, resume, step)
    except ImportError as error:
        package = f"perceiver-multi-modality-pytorch[{name}]"
        raise ImportError(f"to log to {name}, install it: pip install '{package}' ({error})") from error
    except OSError:
        raise
    except Exception as error:  # each service has errors of its own
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"{name} cannot be logged to: {reason}") from error


def _tensorboard(run: RunFolder, resume: bool, step: int) -> Logger:
    """TensorBoard hides what a killed run had logged after the step from which it goes on."""
    logger = TensorBoardLogger(run.path, name=TENSORBOARD, version="")
    if resume:
        logger._kwargs["purge_step"] = step
    return logger


def _csv(run: RunFolder, resume: bool, step: int) -> Logger:
    """A folder for each part of a run that was resumed: Lightning's logger begins its file anew."""
    parts = len(list(run.csv.glob("part_*"))) if resume else 0
    return CSVLogger(run.path, name=run.csv.name, version=f"part_{parts}")


def _mlflow(run: RunFolder, resume: bool, step: int) -> Logger:
    """MLflow's store is that of MLFLOW_TRACKING_URI; without it, the file ``mlflow.db`` where the command runs."""
    from lightning.pytorch.loggers import MLFlowLogger

    store = os.environ.get("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    logger = MLFlowLogger(PROJECT, run.path.name, store, run_id=_known(run, "mlflow") if resume else None)
    return _remembered(run, "mlflow", logger, lambda: logger.run_id)


def _wandb(run: RunFolder, resume: bool, step: int) -> Logger:
    """Weights & Biases go by their own settings: WANDB_API_KEY, WANDB_MODE=offline."""
    from lightning.pytorch.loggers import WandbLogger

    known = _known(run, "wandb") if resume else None
    logger = WandbLogger(run.path.name, save_dir=run.path, id=known, project=PROJECT, resume="allow")
    return _remembered(run, "wandb", logger, lambda: logger.experiment.id)


_MAKERS: dict[str, Callable[[RunFolder, bool, int], Logger]] = {
    "tensorboard": _tensorboard,
    "csv": _csv,
    "mlflow": _mlflow,
    "wandb": _wandb,
}


def _known(run: RunFolder, name: str) -> str | None:
    """What a service calls this run, if it has seen it before."""
    return _logged(run).get(name)


def _remembered(run: RunFolder, name: str, logger: Logger, called: Callable[[], str | None]) -> Logger:
    """The logger, told the settings of the run; what the service calls the run is kept for when it is resumed."""
    config = run.config()
    logger.log_hyperparams({setting.path: value_at(config, setting.path) for setting in all_settings(type(config))})
    write_json(run.logged_file, {**_logged(run), name: called()})
    return logger


def _logged(run: RunFolder) -> dict[str, Any]:
    return read_json(run.logged_file) if run.logged_file.is_file() else {}
