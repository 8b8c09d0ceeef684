"""Facts about results, as simple as a rule of a verdict can have them."""

from types import SimpleNamespace

from perceiver_pytorch._settings import with_keywords
from perceiver_pytorch.data import ClassTarget
from perceiver_pytorch.data.choice import Choice
from perceiver_pytorch.training.table.advice import Advice
from perceiver_pytorch.training.table.settings import preset
from perceiver_pytorch.training.table.verdict_facts import Facts

SIDE = ClassTarget("side", ("a", "b"), (50, 50))
ASKED = with_keywords(preset("auto"), {"table": "t.csv", "target": "side"})
MODALITIES = [SimpleNamespace(name=name, columns=(f"{name}_1", f"{name}_2")) for name in ("p", "q")]


def score(value, doubt=0.05, rows=200, **more):
    """The metrics of `SIDE`, one of two classes that are equally common."""
    interval = {"low": value - doubt, "high": value + doubt}
    half = rows // 2
    confusion = [[half, 0], [0, half]]
    return {
        "accuracy": value,
        "majority_accuracy": 0.5,
        "confusion": confusion,
        "rows": rows,
        "score_name": "accuracy",
        "intervals": {"accuracy": interval},
        "combinations": [entry(["p", "q"], [], value)],
        "modalities": {},
        **more,
    }


def entry(present, absent, value):
    return {"present": present, "absent": absent, "score": value, "rows": 200, "complete_rows": 200}


def facts(metrics=None, asked=ASKED, **more):
    given = {
        "targets": [SIDE],
        "modalities": MODALITIES,
        "choice": Choice(),
        "metrics": score(0.8) if metrics is None else metrics,
        "split": "test",
        "advice": Advice(asked, resume="perceiver fit --resume r"),
        "config": asked,
        "sizes": {"train": 1000},
    }
    return Facts(**{**given, **more})


def history(*val, train=None):
    train = train or [1.0] * len(val)
    return [
        {"epoch": i, "step": 50.0 * i, "val_loss": v, "train_loss": t}
        for i, (v, t) in enumerate(zip(val, train, strict=True), 1)
    ]
