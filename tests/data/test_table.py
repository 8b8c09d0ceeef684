"""Tables in memory."""

import numpy as np
import pytest

from data_helpers import write_table
from perceiver_pytorch.data import DataError


def test_an_unknown_column_suggests_the_nearest(tmp_path):
    table = write_table(tmp_path, "label,image\n1,x\n")
    with pytest.raises(DataError, match=r"'lable' \(did you mean 'label'\?\); its columns are label, image"):
        table.column("lable")
    with pytest.raises(DataError, match="no row 1"):
        table.row(1)


def test_iterate_gives_the_asked_rows_and_columns(tmp_path):
    table = write_table(tmp_path, "a,b\n" + "".join(f"{i},{-i}\n" for i in range(600)))
    rows = np.array([599, 0, *range(1, 400)])
    assert [(row, cells["b"]) for row, cells in table.iterate(rows, ["b"])] == [(r, -r) for r in rows.tolist()]
