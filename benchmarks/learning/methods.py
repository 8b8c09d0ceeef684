"""The contestants: this package with its defaults, and what a user would pick instead."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score

from benchmarks.learning.features import features
from benchmarks.learning.perceivers import PERCEIVERS, perceiver
from benchmarks.learning.sets import SETS, DataSet, kinds_of, rows_of
from benchmarks.peers import ROOT
from perceiver_pytorch.training.run import durations

MAIN = "from perceiver_pytorch.cli import main; main()"


def product(
    data: DataSet, table: Path, seed: int, limit: str, place: Path, settings: Iterable[str] = ()
) -> dict[str, Any]:
    """``perceiver fit`` with default settings, but for ``settings``: its scores of the test rows, and the best one of
    the validation rows, by which defaults are chosen."""
    command = [sys.executable, "-c", MAIN, "fit", str(table), "--target", data.target, "--seed", str(seed)]
    steps = limit.removesuffix("steps")
    command += ["--time-limit", limit] if steps == limit else ["--steps", steps]
    command += ["--run", str(place)]
    command += [f"--set={setting}" for setting in settings]
    command += [part for name in data.leaks for part in ("--column", f"{name}=ignore")]
    done = subprocess.run(["/usr/bin/env", f"PYTHONPATH={ROOT / 'src'}", *command], capture_output=True, text=True)
    if done.returncode:
        return {"error": (done.stderr or done.stdout).strip().splitlines()[-1]}
    metrics = json.loads((place / "metrics.json").read_text())
    found = {name: metrics.get(name) for name in ("accuracy", "balanced_accuracy", "auroc", "r2", "mape")}
    history = pd.read_csv(place / "history.csv")
    best = float(history[f"val_{metrics['score_name']}"].max())
    alone = {name: scores.get("alone") for name, scores in metrics["modalities"].items()}
    return {
        "score": found[{"auc": "auroc"}.get(data.measure, data.measure)],
        **found,
        "alone": alone,
        "validation": best,
    }


def linear(is_class: bool) -> Any:
    return LogisticRegression(C=3.0, max_iter=300) if is_class else RidgeCV(np.logspace(-2, 4, 13))


def trees(is_class: bool, seed: int) -> Any:
    return (HistGradientBoostingClassifier if is_class else HistGradientBoostingRegressor)(random_state=seed)


def lightgbm(is_class: bool, seed: int) -> Any:
    import lightgbm as library

    return (library.LGBMClassifier if is_class else library.LGBMRegressor)(random_state=seed, verbose=-1)


def catboost(is_class: bool, seed: int) -> Any:
    import catboost as library

    kind = library.CatBoostClassifier if is_class else library.CatBoostRegressor
    return kind(random_seed=seed, verbose=False, allow_writing_files=False)


BASELINES: dict[str, tuple[bool, Callable[[bool, int], Any]]] = {
    "majority": (True, lambda is_class, seed: DummyClassifier() if is_class else DummyRegressor()),
    "linear": (False, lambda is_class, seed: linear(is_class)),
    "trees": (True, trees),
    "lightgbm": (True, lightgbm),
    "catboost": (True, catboost),
}
"""{name: (whether it reads dense features, what makes it)}"""


class Part(NamedTuple):
    """What is done by default, the settings that switch it off, and the data sets that it concerns: those with a column
    of one of ``kinds`` (none: any), and with several kinds of columns where it needs ``several``."""

    settings: tuple[str, ...]
    kinds: tuple[str, ...] = ()
    several: bool = False

    def concerns(self, data: DataSet) -> bool:
        found = set(data.kinds.values())
        return (not self.kinds or bool(found & {*self.kinds})) and not (self.several and len(found) < 2)


PARTS: dict[str, Part] = {
    "averaged weights": Part(("training.average=0",)),
    "heads": Part(("training.head_weight=0",)),
    "joint head": Part(("training.joint_weight=0",), ("number", "category"), several=True),
    "modality dropout": Part(("training.modality_dropout=0",), several=True),
    "stems": Part(
        ("data.image_stem=none", "data.audio_stem=none", "data.video_stem=none", "data.series_stem=none"),
        ("image", "audio", "video", "series"),
    ),
    "log-mel": Part(("data.audio_features=raw",), ("audio",)),
    "words": Part(("data.text_units=bytes",), ("text",)),
    "decay of words": Part(("training.word_decay=null",), ("text",)),
    "augmentation": Part(("augment.enabled=false",)),
    "sizes by the table": Part(("model.depth=2", "model.num_latents=16", "model.num_latent_blocks_per_layer=2")),
}
WITHOUT = "without "
METHODS = ("product", *BASELINES, *PERCEIVERS, *(f"{WITHOUT}{part}" for part in PARTS))


def available(method: str) -> bool:
    """Whether a method's library is installed."""
    return method not in ("lightgbm", "catboost") or find_spec(method) is not None


def concerns(method: str, data: DataSet) -> bool:
    """Whether a method differs from the product on a data set."""
    return not method.startswith(WITHOUT) or PARTS[method.removeprefix(WITHOUT)].concerns(data)


def baseline(method: str, data: DataSet, table: Path, seed: int) -> dict[str, Any]:
    """A model on hand-made features, fitted on train and validation rows; its scores of the test rows. A table without
    test rows is measured on its validation rows, and fitted on the others."""
    rows = rows_of(data, table)
    rows = rows[rows[data.target].notna()].reset_index(drop=True)
    test = (rows["split"] == ("test" if (rows["split"] == "test").any() else "val")).to_numpy()
    is_class = data.measure != "r2"
    truth = rows[data.target].astype(str if is_class else float).to_numpy()
    dense, make = BASELINES[method]
    kinds = kinds_of(data, rows)
    matrix = features(kinds, rows, ~test, table.parent, dense=dense)
    found: dict[str, Any] = {"score": _scored(make(is_class, seed), matrix, truth, test, data.measure)}
    if method != "majority" and len(kinds) > 1 and set(kinds.values()) & {"image", "audio", "video"}:
        for name, kind in kinds.items():
            one = features({name: kind}, rows, ~test, table.parent, dense=dense)
            found.setdefault("alone", {})[name] = _scored(make(is_class, seed), one, truth, test, data.measure)
    return found


def _scored(model: Any, matrix: Any, truth: np.ndarray, test: np.ndarray, measure: str) -> float:
    model.fit(matrix[~test], truth[~test])
    if measure == "auc":
        return float(roc_auc_score(truth[test] == model.classes_[1], model.predict_proba(matrix[test])[:, 1]))
    predicted = model.predict(matrix[test])
    return float((accuracy_score if measure == "accuracy" else r2_score)(truth[test], predicted.ravel()))


def cell(name: str, method: str, seed: int, limit: str, folder: Path, work: Path) -> dict[str, Any]:
    """One cell of the comparison, in a process of its own: scores, seconds of wall time, and memory."""
    data, began = SETS[name], time.perf_counter()
    table = data.path(folder, work)
    place = work / "runs" / f"{name}_{method.replace(' ', '_')}_{seed}_{limit}"
    try:
        if method == "product" or method.startswith(WITHOUT):
            without = PARTS.get(method.removeprefix(WITHOUT))
            found = product(data, table, seed, limit, place, without.settings if without else ())
        elif method in PERCEIVERS:
            found = perceiver(method, data, table, seed, durations.seconds(limit))
        else:
            found = baseline(method, data, table, seed)
    except Exception as error:  # the others go on
        found = {"error": f"{type(error).__name__}: {error}"}
    used = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cost = {"seconds": round(time.perf_counter() - began, 1), "memory_mb": used // 1024}
    return {"set": name, "method": method, "seed": seed, "limit": limit, **found, **cost}
