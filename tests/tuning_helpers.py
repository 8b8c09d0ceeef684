"""A tiny table and a search on it, whose trials train in a second or two."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from experiment_helpers import write_table
from perceiver_pytorch._settings import overlaid
from perceiver_pytorch.training.table.settings import FitConfig
from perceiver_pytorch.tuning.space import search_space
from perceiver_pytorch.tuning.study import Plan, StudyFolder
from training_helpers import TINY


def config_of(folder: Path, **training: Any) -> FitConfig:
    """Settings for a table that is written into a folder."""
    values = {
        ("data", "table"): str(write_table(folder)),
        ("data", "target"): "label",
        **{("model", name): value for name, value in TINY.items()},
        **{("training", name): value for name, value in {"steps": 6, "validate_every": 2, **training}.items()},
        ("training", "batch_size"): 4,
        ("training", "head_weight"): 0.0,
        ("training", "choose_from"): 5,
    }
    return overlaid(FitConfig(), values)


def plan_of(folder: Path, trials: int = 3, **changes: Any) -> Plan:
    """A search for the learning rate and the number of layers."""
    config = config_of(folder)
    space = search_space(["training.lr=1e-3..1e-1", "model.depth=1,2"], (), config)
    return replace(Plan(config, tuple(space), trials), **changes)


def folder_of(path: Path, plan: Plan) -> StudyFolder:
    """The folder of a search that is about to begin."""
    folder = StudyFolder(path / "search")
    folder.create(plan)
    return folder
