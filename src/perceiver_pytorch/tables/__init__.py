"""Tables in Python: train on them, measure, and predict; `PerceiverClassifier` and `PerceiverRegressor` do so in
scikit-learn's conventions.

>>> from perceiver_pytorch import tables
>>> run = tables.fit(frame, target="price", epochs=5)  # doctest: +SKIP
>>> run.predict(other_frame)  # doctest: +SKIP
"""

from typing import TYPE_CHECKING

from perceiver_pytorch._lazy import lazily

if TYPE_CHECKING:
    from perceiver_pytorch.tables.estimators import PerceiverClassifier, PerceiverRegressor
    from perceiver_pytorch.tables.predictor import Predictor
    from perceiver_pytorch.tables.run import Run
    from perceiver_pytorch.tables.training import fit

__all__ = ["PerceiverClassifier", "PerceiverRegressor", "Predictor", "Run", "fit"]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "estimators": "PerceiverClassifier PerceiverRegressor",
        "predictor": "Predictor",
        "run": "Run",
        "training": "fit",
    },
)
