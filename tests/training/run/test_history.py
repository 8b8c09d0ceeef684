from math import nan

import pytest

from perceiver_pytorch._saved_files import DamagedFileError
from perceiver_pytorch.training.run.history import read_history, write_history

ROWS = [{"epoch": 1.0, "val_loss": 0.25, "lr": 1e-05}, {"epoch": 2.0, "val_loss": 0.125, "lr": 5e-06}]


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "history.csv"
    write_history(path, ROWS)
    assert read_history(path) == ROWS
    assert path.read_text() == "epoch,val_loss,lr\n1,0.25,1e-05\n2,0.125,5e-06\n"


def test_without_rows_there_is_no_file(tmp_path):
    path = tmp_path / "history.csv"
    assert read_history(path) == []
    write_history(path, ROWS)
    write_history(path, [])
    assert not path.exists()


def test_unknown_values_stay_unknown(tmp_path):
    path = tmp_path / "history.csv"
    write_history(path, [{"epoch": 1.0, "val_loss": nan}])
    assert str(read_history(path)[0]["val_loss"]) == "nan"


def test_a_column_that_came_later_is_kept(tmp_path):
    path = tmp_path / "history.csv"
    write_history(path, [{"epoch": 1.0, "lr": 0.1234567, "seconds": 2.0}, {"epoch": 2.0, "lr": 0.5, "seconds": 1.0}])
    assert path.read_text() == "epoch,lr,seconds\n1,0.123457,2\n2,0.5,1\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [("epoch,lr\n1,fast\n", "could not convert string to float"), ("step\n1\n", "must have a column epoch")],
)
def test_anything_else_is_no_history(tmp_path, text, message):
    path = tmp_path / "history.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_history(path)


def test_a_column_that_has_gone_is_damage(tmp_path):
    path = tmp_path / "history.csv"
    with pytest.raises(DamagedFileError, match=r"history\.csv must have no columns but epoch, lr, and has l_r"):
        write_history(path, [{"epoch": 1.0, "l_r": 0.5}, {"epoch": 2.0, "lr": 0.5}])
    assert not path.exists()
