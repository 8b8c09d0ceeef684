"""Predictions as a table file."""

from collections.abc import Sequence
from pathlib import Path

from perceiver_pytorch.data import ClassTarget, InputSpec
from perceiver_pytorch.training.evaluation import Predictions
from perceiver_pytorch.training.files import write_whole

SUFFIXES = (".csv", ".parquet")


def check_output(path: Path) -> None:
    """Raises ValueError for a file type that predictions cannot be written to, or a folder that is not there."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"predictions are written to {' or '.join(SUFFIXES)} files, got {path}")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"the folder of {path} does not exist")


def classes_of(spec: InputSpec) -> tuple[str, ...]:
    """The classes of the one target."""
    (target,) = spec.targets
    assert isinstance(target, ClassTarget)
    return target.classes


def write_predictions(path: Path, predictions: Predictions, classes: Sequence[str]) -> None:
    """Writes columns ``row`` (number in the table, from 0), ``prediction`` and ``p_CLASS`` for every class."""
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    chosen = predictions.probabilities.argmax(-1)
    columns = {
        "row": pyarrow.array(predictions.rows.numpy()),
        "prediction": pyarrow.array([classes[i] for i in chosen.tolist()]),
    }
    for i, name in enumerate(classes):
        columns[f"p_{name}"] = pyarrow.array(predictions.probabilities[:, i].contiguous().numpy())
    table = pyarrow.table(columns)
    writer = pyarrow.csv.write_csv if path.suffix.lower() == ".csv" else pyarrow.parquet.write_table
    write_whole(path, lambda partial: writer(table, str(partial)))
