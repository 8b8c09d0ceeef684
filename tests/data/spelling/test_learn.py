"""How a table is written is found out, and said."""

import datetime

import pytest

from data_helpers import table_of
from perceiver_pytorch.data import SpecOptions
from perceiver_pytorch.data.spelling.learn import Asked, learn_spellings

Y = ["a", "b"] * 30


def learn(folder, *, kinds=None, targets=None, label_separator=None, columns, **options):
    """(columns as they are read, what is said, what is warned of)."""
    table = table_of(folder, **columns)
    asked = Asked(SpecOptions(**options), kinds or {}, targets or {}, label_separator)
    learned = learn_spellings(table, asked)
    read = table.spelled(learned.spellings).rows.to_pydict()
    return read, " ".join(learned.said), " ".join(learned.warned)


@pytest.mark.parametrize(
    ("cells", "first"),
    [
        ([f"1,{i:03d}.5" for i in range(60)], 1000.5),
        ([f"1 {i:03d},5" for i in range(60)], 1000.5),
        ([f"1'{i:03d}" for i in range(60)], 1000),
        ([f"${i},000" for i in range(1, 61)], 1000),
        ([f"{i}.50 EUR" for i in range(60)], 0.5),
        ([f"{i / 10}%" for i in range(60)], 0),
        ([f"({i},000)" if i % 3 else f"{i},000" for i in range(1, 61)], -1000),
        ([f"\u2212{i}.5" if i % 3 else f"{i}.5" for i in range(1, 61)], -1.5),
        ([f"0,{i:02d}" for i in range(60)], 0),
    ],
)
def test_numbers_are_read(tmp_path, cells, first):
    read, said, warned = learn(tmp_path, columns={"x": cells})
    assert read["x"][0] == first
    assert all(isinstance(value, float) for value in read["x"])
    assert said.startswith("x: numbers such as")
    assert not warned


@pytest.mark.parametrize(
    "cells",
    [
        [f"0{i:04d}" for i in range(60)],
        [f"555 123 {i:03d}" for i in range(60)],
        [f"+49 30 12{i:03d}" for i in range(60)],
        [f"555-{i:04d}" for i in range(60)],
        [f"192.168.{i}.1" for i in range(60)],
        [f"{i}-{i + 1}" for i in range(60)],
        ["some text", "1 or 2 words"] * 30,
        [f"v1.{i}.0" for i in range(60)],
    ],
)
def test_codes_and_words_stay_texts(tmp_path, cells):
    read, said, warned = learn(tmp_path, columns={"x": cells})
    assert read["x"] == cells
    assert not said + warned


def test_a_table_has_one_decimal_sign(tmp_path):
    columns = {"rev": ["850", "1.234", "12.500"] * 20, "b": ["0,25", "1,25", "2,5"] * 20}
    read, said, _ = learn(tmp_path, columns=columns)
    assert read["rev"][:3] == [850, 1234, 12500]
    assert read["b"][:2] == [0.25, 1.25]
    assert "--set data.column_options.rev.decimal=. reads them the other way" in said
    read, *_ = learn(tmp_path, columns=columns, column_options={"rev": {"decimal": "."}})
    assert list(map(float, read["rev"][:3])) == [850, 1.234, 12.5]
    read, *_ = learn(tmp_path, columns={"rev": columns["rev"]})
    assert read["rev"] == columns["rev"]  # plain numbers, where nothing speaks against it


@pytest.mark.parametrize("number", [str, lambda i: str(i % 2), lambda i: f"1,{i:03d}"])
def test_one_word_among_numbers_is_told(tmp_path, number):
    columns = {"price": [*map(number, range(60)), "Total"]}
    read, _, warned = learn(tmp_path, columns=columns)
    assert "price: 60 of 61 cells are numbers; row 60 is 'Total'" in warned
    assert read == columns
    assert '"data.column_options.price.missing=[Total]" counts them as missing' in warned
    read, _, warned = learn(tmp_path, columns=columns, column_options={"price": {"missing": ["Total"]}})
    assert read["price"][60] is None
    assert not warned
    assert float(str(read["price"][1]).replace(",", "")) in (1, 1001)


def test_more_words_have_another_remedy(tmp_path):
    _, _, warned = learn(tmp_path, columns={"x": [*map(str, range(60)), "a", "b", "c", "d"]})
    assert "60 of 64 cells" in warned
    assert "--column x=number --on-error skip" in warned
    _, _, warned = learn(tmp_path, columns={"x": [*map(str, range(60)), "a", "b", "c", "d"]}, targets={"x": None})
    assert "--target-kind x=number --on-error skip" in warned


def test_units_that_differ_are_told(tmp_path):
    _, _, warned = learn(tmp_path, columns={"x": ["$5", "€7"] * 30})
    assert "x: its cells are amounts with '$' and '€'" in warned
    _, _, warned = learn(tmp_path, columns={"x": ["5%", "0.05"] * 30})
    assert "amounts with '%' and none" in warned


@pytest.mark.parametrize(
    ("cells", "first"),
    [
        ([f"{i % 28 + 1:02d}/01/2020" for i in range(60)], datetime.date(2020, 1, 1)),
        ([f"01/{i % 28 + 1:02d}/2020" for i in range(60)], datetime.date(2020, 1, 1)),
        ([f"2012/01/{i % 28 + 1:02d}" for i in range(60)], datetime.date(2012, 1, 1)),
        ([f"{i % 28 + 1} Jan 2020" for i in range(60)], datetime.date(2020, 1, 1)),
        ([f"Jan {i % 28 + 1}, 2020 10:30" for i in range(60)], datetime.datetime(2020, 1, 1, 10, 30)),
        ([f"2020-1-{i % 28 + 1}" for i in range(60)], datetime.date(2020, 1, 1)),
    ],
)
def test_dates_are_read(tmp_path, cells, first):
    read, said, warned = learn(tmp_path, columns={"d": cells})
    assert read["d"][0] == first
    assert len(set(read["d"])) == 28
    assert said.startswith("d: dates such as")
    assert not warned


def test_days_and_months_that_are_not_settled_are_warned_of(tmp_path):
    either, settled = ["01/02/2020", "03/04/2020"] * 30, ["13/02/2020", "03/04/2020"] * 30
    read, _, warned = learn(tmp_path, columns={"d": either})
    assert read["d"][0] == datetime.date(2020, 1, 2)
    assert "month first" in warned
    assert "\"data.column_options.d.date_format='%d/%m/%Y'\" reads" in warned
    read, _, warned = learn(tmp_path, columns={"d": either}, column_options={"d": {"date_format": "%d/%m/%Y"}})
    assert read["d"][0] == datetime.date(2020, 2, 1)
    assert not warned
    read, _, warned = learn(tmp_path, columns={"d": either, "e": settled})
    assert read["d"][0] == datetime.date(2020, 2, 1)
    assert "as in other columns" in warned
    read, _, warned = learn(tmp_path, columns={"d": ["01.02.20", "03.04.20"] * 30})
    assert read["d"][0] == "01.02.20"
    assert "may be dates" in warned


def test_one_word_among_dates_is_told(tmp_path):
    cells = [*(f"{i % 28 + 1:02d}/01/2020" for i in range(60)), "31/02/2020"]
    read, _, warned = learn(tmp_path, columns={"d": cells})
    assert "d: 60 of 61 cells are dates; row 60 is '31/02/2020'" in warned
    assert read["d"] == cells


def test_whole_numbers_that_may_be_dates(tmp_path):
    columns = {"d": [20200100 + i % 28 + 1 for i in range(60)]}
    read, _, warned = learn(tmp_path, columns=columns)
    assert read == columns
    assert "all cells of 'd' may be dates, such as 20200101" in warned
    for more in ({"kinds": {"d": "date"}}, {"column_options": {"d": {"date_format": "%Y%m%d"}}}):
        read, _, warned = learn(tmp_path, columns=columns, **more)
        assert read["d"][0] == datetime.date(2020, 1, 1)
        assert not warned
    assert not learn(tmp_path, columns={"n": [20191, 20250]})[2]


def test_a_given_kind_is_kept_to(tmp_path):
    columns = {"x": [f"1,{i:03d}" for i in range(60)]}
    assert learn(tmp_path, columns=columns, kinds={"x": "text"})[0] == columns
    read, _, warned = learn(tmp_path, columns={"x": [*columns["x"], "Total"]}, kinds={"x": "number"})
    assert (read["x"][0], "Total" in read["x"][60]) == ("1000", True)
    assert "row 60 is 'Total'" in warned


@pytest.mark.parametrize(
    ("cells", "read_as"),
    [
        ([f"1,{i:03d}" for i in range(60)], float),
        ([f"${i}.99" for i in range(60)], float),
        ([f"{i % 28 + 1:02d}/{i % 12 + 1:02d}/2020" for i in range(60)], datetime.date),
        ([f"2020-{i % 12 + 1:02d}-{i % 28 + 1:02d}" for i in range(60)], datetime.date),
        (["1,000", "2,000", "5,000"] * 20, str),
        (["1,2", "2,3", "1,3", "3", "1,2,3", "2"] * 10, str),
        (["1,2", "2,3", "1,3", "3", "2,1", "2"] * 10, str),
    ],
)
def test_targets(tmp_path, cells, read_as):
    read, _, warned = learn(tmp_path, columns={"y": cells}, targets={"y": None})
    assert all(type(value) is read_as for value in read["y"])
    assert not warned
    assert learn(tmp_path, columns={"y": cells}, targets={"y": "class"})[0]["y"] == cells
    assert (
        read_as is datetime.date
        or learn(tmp_path, columns={"y": cells}, targets={"y": None}, label_separator=",")[0]["y"] == cells
    )


def test_a_mark_means_the_same_everywhere(tmp_path):
    columns = {"alley": ["NA", "x", "b"] * 20, "n": ["1", "2", "NA"] * 20, "y": ["a", "NA", "b"] * 20}
    read, said, warned = learn(tmp_path, columns=columns, targets={"y": None})
    assert [column.count(None) for column in read.values()] == [20, 20, 20]
    assert "'NA' in 20 cells of 'alley'" in said
    assert "of 'n'" not in said
    assert "y: 'NA' in 20 cells means missing, first in row 1" in warned
    read, said, warned = learn(tmp_path, columns=columns, targets={"y": None}, missing=[])
    assert [column.count(None) for column in read.values()] == [0, 0, 0]
    assert not said + warned
    read, *_ = learn(tmp_path, columns=columns, column_options={"alley": {"missing": []}})
    assert [column.count(None) for column in read.values()] == [0, 20, 20]


def test_none_may_be_a_class(tmp_path):
    read, said, _ = learn(tmp_path, columns={"y": ["none", "mild"] * 30}, targets={"y": None})
    assert read["y"][0] == "none"
    assert "'none' in 30 cells is a class" in said


def test_identifiers_and_splits_are_left_alone(tmp_path):
    columns = {"row_id": [*map(str, range(60)), "x"], "part": ["train", "?"] + ["train"] * 59}
    table = table_of(tmp_path, **columns)
    learned = learn_spellings(table, Asked(SpecOptions()), split="part")
    assert not learned.warned + learned.said


def test_a_format_that_few_cells_have_is_told(tmp_path):
    own = {"column_options": {"d": {"date_format": "%d/%m/%Y"}}}
    _, _, warned = learn(tmp_path, columns={"d": ["01/02/2020"] * 10 + ["2020/01/02"] * 50}, **own)
    assert "d: 10 of 60 cells are dates; row 10 is '2020/01/02'" in warned
    _, _, warned = learn(tmp_path, columns={"d": ["2020/01/02"] * 60}, **own)
    assert "d: no cell that was looked at is a date of its date_format" in warned


SIXTY = [*map(str, range(60))]
EITHER, SETTLED = ["01/02/2020", "03/04/2020"] * 9, ["13/02/2020", "03/04/2020"] * 9
OTHERWISE = "--set \"data.column_options.d.date_format='{}'\" reads them the other way"
MONTH_FIRST = "are read with the month first (%m/%d/%Y), which its cells do not settle; " + OTHERWISE.format("%d/%m/%Y")
WHOLE, PART = {}, {"whole": False}
TARGET = 'so these rows have no target; if it is a class, --set "data.column_options.y.missing=[]" keeps it'


@pytest.mark.parametrize(
    ("columns", "asked", "said", "warned"),
    [
        (
            {"p": [*SIXTY, "Total"]},
            PART,
            [],
            [
                "p: 60 of 61 cells are numbers; one is 'Total', so the column is not read as numbers; "
                '--set "data.column_options.p.missing=[Total]" counts them as missing'
            ],
        ),
        (
            {"p": [*SIXTY, "NA", "a", "b"]},
            WHOLE,
            [],
            [
                "p: 60 of 62 cells are numbers; row 61 is 'a', so the column is not read as numbers; "
                '--set "data.column_options.p.missing=[NA, a, b]" counts them as missing'
            ],
        ),
        (
            {"p": [*SIXTY, "a", "b", "c", "d"]},
            WHOLE,
            [],
            [
                "p: 60 of 64 cells are numbers; row 60 is 'a', so the column is not read as numbers; "
                "--column p=number --on-error skip leaves out the rows of the others"
            ],
        ),
        (
            {"p": ["1,5"] * 60 + ["2.5"]},
            WHOLE,
            [],
            [
                "p: 60 of 61 cells are numbers; row 60 is '2.5', so the column is not read as numbers; "
                "write all of them alike"
            ],
        ),
        (
            {"p": [*SIXTY, "x" * 50]},
            {"kinds": {"p": "number"}},
            ["p: numbers such as '10' are read as 10"],
            [f"p: 60 of 61 cells are numbers; row 60 is '{'x' * 40}'"],
        ),
        (
            {"d": ["31/01/2020"] * 3 + ["x"] * 9},
            {"kinds": {"d": "date"}},
            ["d: dates such as '31/01/2020' are read as 2020-01-31 (%d/%m/%Y)"],
            ["d: 3 of 12 cells are dates; row 3 is 'x'"],
        ),
        (
            {"y": ["a", "NA", "b", "n/a"] * 5},
            {"targets": {"y": None}},
            [],
            [f"y: 'NA' in 5 cells, 'n/a' in 5 cells mean missing, first in row 1, {TARGET}"],
        ),
        (
            {"y": ["a", "b", "NA"]},
            {"targets": {"y": None}, **PART},
            [],
            [f"y: 'NA' in 1 cell means missing, {TARGET}"],
        ),
        (
            {"y": ["a", "none"] * 5},
            {"targets": {"y": None}},
            [
                "y: 'none' in 5 cells is a class; if it means missing, give "
                '--set "data.column_options.y.missing=[none]"'
            ],
            [],
        ),
        (
            {"w": ["a", "NA", "?"], "v": ["-", "b", "b"], "n": ["1", "2", "NA"]},
            WHOLE,
            [
                "read as missing: 'NA' in 1 cell, '?' in 1 cell of 'w'; '-' in 1 cell of 'v'; "
                "--set data.missing=[] reads them as they are"
            ],
            [],
        ),
        (
            {"d": EITHER},
            WHOLE,
            ["d: dates such as '01/02/2020' are read as 2020-01-02 (%m/%d/%Y)"],
            [f"d: dates such as '01/02/2020' {MONTH_FIRST}"],
        ),
        (
            {"d": [date.replace("/", ".") for date in EITHER]},
            WHOLE,
            ["d: dates such as '01.02.2020' are read as 2020-02-01 (%d.%m.%Y)"],
            [
                "d: dates such as '01.02.2020' are read with the day first (%d.%m.%Y), which its cells do not settle; "
                + OTHERWISE.format("%m.%d.%Y")
            ],
        ),
        (
            {"d": EITHER, "n": ["0,5", "1,25"] * 9},
            WHOLE,
            [
                "n: numbers such as '1,25' are read as 1.25",
                "d: dates such as '01/02/2020' are read as 2020-02-01 (%d/%m/%Y)",
            ],
            [
                "d: dates such as '01/02/2020' are read with the day first (%d/%m/%Y), which its cells do not settle; "
                + OTHERWISE.format("%m/%d/%Y")
            ],
        ),
        (
            {"d": ["01/02/20", "03/04/20"] * 9},
            WHOLE,
            [],
            [
                "d: cells such as '01/02/20' may be dates, and are not read as such; "
                "--set \"data.column_options.d.date_format='%m/%d/%y'\" or %d/%m/%y reads them"
            ],
        ),
        (
            {"d": ["01/02/20", "03/04/20"] * 9, "e": SETTLED},
            WHOLE,
            [
                "d: dates such as '01/02/20' are read as 2020-02-01 (%d/%m/%y)",
                "e: dates such as '13/02/2020' are read as 2020-02-13 (%d/%m/%Y)",
            ],
            [
                "d: dates such as '01/02/20' are read with the day first (%d/%m/%y), as in other columns; "
                + OTHERWISE.format("%m/%d/%y")
            ],
        ),
        ({"d": [20200101, 20200131]}, {"targets": {"d": None}}, [], []),
        ({"d": [20200101, 20200131]}, {"kinds": {"d": "number"}}, [], []),
        ({"d": [20200101, 20200101]}, WHOLE, [], []),
        ({"d": [19000100, 21001231]}, WHOLE, [], []),
        ({"d": [19000101, 21001232]}, WHOLE, [], []),
        (
            {"d": [19000101, 21001231]},
            WHOLE,
            [],
            [
                "all cells of 'd' may be dates, such as 19000101, and are read as numbers; "
                "--set \"data.column_options.d.date_format='%Y%m%d'\" reads dates"
            ],
        ),
        ({"d": [20200101, 20200230]}, WHOLE, [], []),
        (
            {"x": ["$5", "€7"] * 30},
            WHOLE,
            [],
            [
                "x: its cells are amounts with '$' and '€', so the column is not read as numbers; "
                "give each unit a column of its own"
            ],
        ),
        ({"d": ["2020-01-31", "2020-02-01"]}, WHOLE, [], []),
        (
            {"d": ["2020-01-31", "2020-02-01"]},
            {"targets": {"d": None}},
            ["d: dates such as '2020-01-31' are read as 2020-01-31 (%Y-%m-%d)"],
            [],
        ),
        ({"a": ["1,000", "12,345,678", "2"]}, WHOLE, ["a: numbers such as '12,345,678' are read as 12345678"], []),
    ],
)
def test_what_is_told_word_by_word(tmp_path, columns, asked, said, warned):
    asked = dict(asked)
    whole = asked.pop("whole", True)
    learned = learn_spellings(table_of(tmp_path, **columns), Asked(SpecOptions(), **asked), whole=whole)
    assert [*learned.said] == said
    assert [*learned.warned] == warned


def test_a_column_that_may_be_either_is_what_most_others_are(tmp_path):
    columns = {
        "a": ["1.234", "2.345"] * 9,
        "b": ["1,5", "2,5"] * 9,
        "c": ["3,5", "2,75"] * 9,
        "d": ["1.5", "2.25"] * 9,
    }
    learned = learn_spellings(table_of(tmp_path, **columns), Asked(SpecOptions()))
    found = {one.column: (one.decimal, one.thousands) for one in learned.spellings.columns}
    assert found == {"a": (",", "."), "b": (",", ""), "c": (",", "")}
    assert len(learned.said) == 3
    formats = SpecOptions(date_format="%Y%d%m", column_options={"e": {"date_format": "%Y%m%d"}})
    days = {"d": [20200113, 20201401], "e": [20200113, 20200114], "f": [20200113, 20200114]}
    learned = learn_spellings(table_of(tmp_path, **days), Asked(formats, {"d": "date"}))
    assert {one.column: one.date_format for one in learned.spellings.columns} == {"d": "%Y%d%m", "e": "%Y%m%d"}


def test_marks_are_kept_as_they_are_compared(tmp_path):
    table = table_of(tmp_path, x=["A", " none given ", ""], z=["q", "r", "s"])
    options = SpecOptions(missing=[" None Given", "Q", "q"], column_options={"z": {"missing": []}})
    spellings = learn_spellings(table, Asked(options)).spellings
    assert spellings.missing == ("", "none given", "q")
    assert [(one.column, one.missing) for one in spellings.columns] == [("z", ("",))]
    assert table.spelled(spellings).rows.to_pydict() == {"x": ["A", None, None], "z": ["q", "r", "s"]}
