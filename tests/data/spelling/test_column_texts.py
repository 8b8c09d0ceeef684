import pyarrow
import pytest

from perceiver_pytorch.data.spelling.column_texts import ColumnTexts
from perceiver_pytorch.data.spelling.spellings import MISSING, SpellingSettings


def texts(cells, **options):
    return ColumnTexts(pyarrow.chunked_array([cells]), MISSING, SpellingSettings(**options))


def test_missing_cells_do_not_count():
    column = texts(["1", "NA", None, "none", "1", "2"])
    assert (column.total, column.counts.tolist(), column.different.to_pylist()) == (3, [2, 1], ["1", "2"])
    assert column.given_marks == {"NA": 1}


def test_a_column_of_few_cells_is_sampled_where_it_has_them():
    cells = [None] * 10_000
    cells[1:3] = ["1,5", "2,5"]
    assert texts(cells).sample == ["1,5", "2,5"]


def test_ways_of_numbers_by_their_decimal_sign():
    ways = texts(["1,000", "2,500"]).number_ways()
    assert {sign: way.text.thousands for sign, way in ways.items()} == {".": ",", ",": ""}
    assert list(texts(["1,00", "2,500"]).number_ways()) == [","]
    assert list(texts(["1,000", "2,500"], decimal=",").number_ways()) == [","]
    assert not texts(["1,000", "2,500"], thousands="'").number_ways().get(".")


@pytest.mark.parametrize("cells", [[None], ["(1)", "(2)"], ["a", "1"]])
def test_no_way(cells):
    column = texts(pyarrow.array(cells, "string"))
    assert not column.number_ways()
    assert not column.date_ways()


def test_a_way_is_looked_for_in_all_cells():
    cells = ["5"] * 5000
    cells[7] = "1,000"
    (way,) = {way.text.thousands for way in texts(cells).number_ways().values()} - {""}
    assert way == ","


def test_wrong_cells_are_named_once():
    column = texts(["1,5"] * 90 + ["x", "y", "x"])
    (way,) = column.number_ways().values()
    assert column.wrong(way) == ["x", "y"]
    assert column.row("y") == 91
