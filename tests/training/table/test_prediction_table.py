import pyarrow.csv
import pyarrow.parquet
import pytest
import torch

from perceiver_pytorch.data import BadRow, ClassTarget, LabelsTarget, NumberTarget, Predictions
from perceiver_pytorch.training.table.prediction_table import check_output, predictions_table, write_table

PREDICTIONS = Predictions(
    torch.tensor([0, 2]), (NumberTarget("n", 10.0, 2.0),), {"n": torch.tensor([[0.5], [-1.0]])}, {}, {}
)


@pytest.mark.parametrize(("name", "read"), [("a.csv", pyarrow.csv.read_csv), ("a.parquet", pyarrow.parquet.read_table)])
def test_a_file_has_a_row_per_prediction(tmp_path, name, read):
    write_table(tmp_path / name, predictions_table(PREDICTIONS.columns()))
    assert read(tmp_path / name).to_pydict() == {"row": [0, 2], "prediction": [11.0, 8.0]}


def test_bad_rows_have_their_place_and_their_reason():
    bad = {1: BadRow(1, "x", "it is torn"), 3: BadRow(3, None, "no bytes")}
    assert predictions_table(PREDICTIONS.columns(), bad).to_pydict() == {
        "row": [0, 1, 2, 3],
        "prediction": [11.0, None, 8.0, None],
        "error": [None, "x: it is torn", None, "no bytes"],
    }
    assert predictions_table(PREDICTIONS.columns(), {}).column_names == ["row", "prediction", "error"]


def test_files_that_cannot_be_written_are_refused_at_once(tmp_path):
    check_output(tmp_path / "a.CSV")
    with pytest.raises(ValueError, match=r"written to \.csv or \.parquet files, got"):
        check_output(tmp_path / "a.json")
    with pytest.raises(ValueError, match=r"the folder of .* does not exist"):
        check_output(tmp_path / "nowhere/a.csv")


@pytest.mark.parametrize("name", ["A.CSV", "A.Parquet"])
def test_the_suffix_may_be_of_capital_letters(tmp_path, name):
    write_table(tmp_path / name, predictions_table(PREDICTIONS.columns()))
    read = pyarrow.csv.read_csv if name == "A.CSV" else pyarrow.parquet.read_table
    assert read(tmp_path / name).num_rows == 2


def test_words_numbers_and_lists_are_columns():
    words = Predictions(
        torch.tensor([0, 1]),
        (ClassTarget("c", ("a", "b"), (1, 1)), LabelsTarget("g", ("x", "w"), (4, 1), 8, "|")),
        {"c": torch.tensor([[0.0, 1.0], [2.0, 0.0]]), "g": torch.tensor([[3.0, -3.0], [3.0, 3.0]])},
        {},
        {},
    )
    table = predictions_table(words.columns()).to_pydict()
    assert table["row"] == [0, 1]
    assert next(values for name, values in table.items() if "prediction" in name and "c" in name) == ["b", "a"]
    assert predictions_table(words.columns()).num_rows == 2
