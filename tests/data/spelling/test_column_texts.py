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


def test_units_that_differ_are_named():
    assert texts(["$5", "€6", "7"]).mixed_units == ["'$'", "'€'"]
    assert texts(["5%", "6", "7%"]).mixed_units == ["'%'", "none"]
    assert texts(["$5", "6", "7"]).mixed_units == []  # a unit in some cells alone
    assert texts(["5", "6"]).mixed_units == []
    few = ["x"] * 6
    assert texts(["$5"] * 12 + ["€6"] * 12 + few).mixed_units == ["'$'", "'€'"]
    assert texts(["$5"] * 11 + ["€6"] * 12 + few).mixed_units == []


def test_four_of_five_cells_are_nearly_all():
    assert texts(["1,5", "2,5", "3,5", "4,5", "x"]).number_ways().keys() == {","}
    assert not texts(["1,5", "2,5", "3,5", "x", "y"]).number_ways()
    assert texts(["1,5", "2,5", "3,5", "x", "y"]).number_ways(0.6).keys() == {","}
    assert [way.text.format for way in texts(["31/1/2020"] * 4 + ["x"]).date_ways()] == ["%d/%m/%Y"]
    assert not texts(["31/1/2020"] * 3 + ["x"] * 2).date_ways()
    assert texts(["31/1/2020"] * 3 + ["x"] * 2).date_ways(0.0)[0].cells == 3
    assert not texts(["x"] * 5).date_ways(0.0)


def test_formats_of_dates():
    def formats(cells, compact=False, **options):
        return [way.text.format for way in texts(cells, **options).date_ways(compact=compact)]

    assert formats(["5/1/2020", "6/1/2020"]) == ["%d/%m/%Y", "%m/%d/%Y"]
    assert formats(["5/1/2020", "31/1/2020"]) == ["%d/%m/%Y"]
    assert formats(["5/1/2020"], date_format="%m/%d/%Y") == ["%m/%d/%Y"]
    assert formats(["20200131"]) == []
    assert formats(["20200131"], compact=True) == ["%Y%m%d"]
    assert formats(["20200131"], compact=True, date_format="%d/%m/%Y") == []


def test_codes_and_accounts_are_no_numbers():
    assert not texts(["030 123 4567", "030 123 4568"]).number_ways()
    assert not texts(["(1,5", "(2,5"]).number_ways()
    assert texts(["(1,5)", "2,5"]).number_ways()[","].fits.tolist() == [True, True]


def test_wrong_texts_are_named_up_to_a_few():
    column = texts(["1,5"] * 90 + ["a", "b", "c", "d", "e", "2.5"])
    (way,) = column.number_ways().values()
    assert (way.cells, way.fits.sum()) == (90, 1)
    assert column.wrong(way) == ["a", "b", "c", "d"]


def test_a_sample_is_spread_over_the_column():
    column = texts([f"{i}" for i in range(10_000)])
    assert len(column.sample) == 300
    assert (column.sample[0], column.sample[-1]) == ("0", "9999")
    assert texts(pyarrow.array([None] * 9, "string")).sample == []


def test_marks_are_counted_as_they_are_written():
    column = texts(["NA", "na", " NA", "", "x", None])
    assert column.given_marks == {"NA": 1, "na": 1, " NA": 1}
    assert column.counted(["x"]) == {"x": 1}
    assert texts(["x", "y"]).given_marks == {}
    assert texts(pyarrow.array(["NA", "a"]).dictionary_encode()).given_marks == {"NA": 1}
