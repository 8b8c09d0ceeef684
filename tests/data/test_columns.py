import dataclasses
import datetime

import numpy as np
import pytest

from data_helpers import png, table_of, wav, write_table
from perceiver_pytorch.data import (
    DataError,
    ReadOptions,
    identifiers,
    leaks,
    load_table,
    outlying,
    pandas_indices,
    proportional,
    recognise_columns,
    unnamed_splits,
    unopened,
)


def kinds_of(table, **overrides):
    return recognise_columns(table, target=None, split=None, overrides=overrides)


def test_an_audio_visual_manifest(av_table):
    kinds = recognise_columns(av_table, target="label", split=None)
    expected = {"id": "ignore", "image": "image", "audio": "audio", "text": "category", "speaker": "category"}
    assert kinds == expected
    assert list(kinds) == list(expected)


def test_kinds_by_value(tmp_path):
    n = 40
    sentence = [f"this is sentence number {i} of them" for i in range(n)]
    table = table_of(
        tmp_path,
        flag=[i % 2 == 0 for i in range(n)],
        count=list(range(n)),
        price=[None if i % 4 else i / 7 for i in range(n)],
        digits_as_text=[str(i) if i % 3 else "NA" for i in range(n)],
        day=[datetime.date(2020, 1, 1 + i % 28) for i in range(n)],
        color=[("red", "dark green", "blue")[i % 3] for i in range(n)],
        name=[f"name {i}" for i in range(n)],
        review=sentence,
        few_long=[sentence[i % 3] for i in range(n)],
        constant=["same"] * n,
        nothing=[None] * n,
        nan=[float("nan")] * n,
        film=[f"clips/{i}.mp4" for i in range(n)],
        tags=[["a", "b"]] * n,
    )
    assert kinds_of(table) == {
        "flag": "category",
        "count": "number",
        "price": "number",
        "digits_as_text": "number",
        "day": "date",
        "color": "category",
        "name": "text",
        "review": "text",
        "few_long": "text",
        "constant": "ignore",
        "nothing": "ignore",
        "nan": "ignore",
        "film": "video",
        "tags": "set",
    }


def test_identifiers_are_ignored_by_name_and_value(tmp_path):
    n = 20
    table = table_of(
        tmp_path, ID=list(range(n)), film_id=[f"tt{i}" for i in range(n)], user_id=[i % 4 for i in range(n)]
    )
    assert kinds_of(table) == {"ID": "ignore", "film_id": "ignore", "user_id": "category"}


def test_files_inside_the_table(tmp_path):
    picture, sound = png(np.zeros((2, 2), np.uint8)), wav(np.zeros(10))
    table = table_of(
        tmp_path,
        picture=[picture] * 3,
        sound=[sound, None, sound],
        hub=[{"bytes": None, "path": "a.JPG"}, {"bytes": picture, "path": None}, {"bytes": None, "path": None}],
        junk=[b"abc"] * 3,
    )
    assert kinds_of(table) == {"picture": "image", "sound": "audio", "hub": "image", "junk": "ignore"}


def test_overrides_win_and_are_checked(av_table):
    kinds = recognise_columns(av_table, target="label", split=None, overrides={"text": "ignore", "speaker": "text"})
    assert (kinds["text"], kinds["speaker"]) == ("ignore", "text")
    with pytest.raises(DataError, match=r"no column 'speeker' \(did you mean 'speaker'\?\).*id, image"):
        recognise_columns(av_table, target="label", split=None, overrides={"speeker": "text"})
    with pytest.raises(DataError, match=r"'label' is the target or split column"):
        recognise_columns(av_table, target="label", split=None, overrides={"label": "text"})
    with pytest.raises(DataError, match=r"unknown kind 'picture'.*image, audio, .*category, date, ignore"):
        recognise_columns(av_table, target="label", split=None, overrides={"text": "picture"})


def test_columns_that_are_the_answer_are_named(av_table, tmp_path):
    kinds = recognise_columns(av_table, target="label", split=None)
    rows = np.arange(40)
    assert leaks(av_table, kinds, "label", rows) == ["text"]
    assert leaks(av_table, {**kinds, "text": "ignore"}, "label", rows) == []
    # Only the given rows count, and distinct values are no evidence.
    table = write_table(
        tmp_path, "y,x,score\n" + "".join(f"{i % 2},{i},{10 + i % 4}\n" for i in range(12)) + "0,0,11\n"
    )
    assert leaks(table, {"x": "category", "score": "number"}, "y", np.arange(12)) == ["score"]
    assert leaks(table, {"x": "category", "score": "number"}, "y", np.arange(13)) == []


def test_columns_that_may_be_the_split_are_found(tmp_path):
    table = table_of(
        tmp_path,
        set=["train", "train", "Test ", "dev"] * 5,
        part=["train", "train", "test", "holdout"] * 5,
        only=["test", "val", "val", "test"] * 5,
        gap=["train", "test", None, "val"] * 5,
        word=[f"word {i}" for i in range(20)],
    )
    kinds = dict.fromkeys(table.column_names, "category")
    assert unnamed_splits(table, kinds) == ["set"]
    assert unnamed_splits(table, {**kinds, "set": "ignore"}) == []


def test_files_of_several_kinds_are_what_most_of_them_are(tmp_path):
    table = table_of(
        tmp_path,
        film=["a.mp4", "b.gif", "c.mov", "d.webm"] * 5,
        picture=["a.png", "b.jpg", "c.pdf", "d.mp4"] * 5,
        paper=["a.pdf", "b.pdf", "c.png", "d.zip"] * 5,
        data=[png(np.zeros((4, 4), np.uint8)), wav(np.zeros(50)), wav(np.ones(50)), wav(np.zeros(60))] * 5,
        prose=["see a.mp4", "b.gif", "nothing to see here", "d.webm"] * 5,
    )
    kinds = kinds_of(table)
    assert kinds.pop("prose") != "video"
    assert kinds == {"film": "video", "picture": "image", "paper": "ignore", "data": "audio"}


def test_text_files_that_are_not_opened_are_found(tmp_path):
    (tmp_path / "docs").mkdir()
    for i in range(20):
        (tmp_path / f"docs/{i}.txt").write_text("hello")
    table = table_of(
        tmp_path,
        doc=[f"docs/{i}.txt" for i in range(20)],
        windows=[f"docs\\{i}.txt" for i in range(20)],
        gone=[f"{i}.txt" for i in range(20)],
        prose=[f"number {i}.txt and more" if i else "docs/0.txt" for i in range(20)],
        none=[None] * 20,
    )
    kinds = dict.fromkeys(table.column_names, "text")
    assert unopened(table, kinds, np.arange(20)) == ["doc", "windows"]
    assert unopened(table, {**kinds, "doc": "ignore"}, np.arange(20)) == ["windows"]


def test_the_index_of_a_data_frame_is_no_input(tmp_path):
    numbers = [float(i % 7) for i in range(20)]
    names = ["__index_level_0__", "Unnamed: 0", "Unnamed: 0.1", ""]
    table = table_of(tmp_path, x=numbers, **dict.fromkeys(names, numbers))
    assert pandas_indices(table) == names
    kinds = recognise_columns(table, target=None, split=None, overrides={"Unnamed: 0": "number"})
    assert [name for name, kind in kinds.items() if kind == "number"] == ["x", "Unnamed: 0"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_index_with_a_name_is_known_by_the_file(tmp_path, stream):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"x": [float(i % 7) for i in range(20)]}, index=pandas.Index([i * i for i in range(20)], name="day")
    )
    frame.to_parquet(tmp_path / "t.parquet")
    table, _ = load_table(tmp_path / "t.parquet", ReadOptions(stream=stream)).sample(np.arange(20), [])
    assert "day" in table.column_names
    assert recognise_columns(table, target=None, split=None) == {"x": "number", "day": "ignore"}
    frame.reset_index().to_parquet(tmp_path / "t.parquet")
    assert recognise_columns(load_table(tmp_path / "t.parquet"), target=None, split=None)["day"] == "number"


def test_columns_that_are_the_target_in_another_unit(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.normal(size=40)
    table = table_of(
        tmp_path,
        fahrenheit=(32 - 1.8 * y).tolist(),
        text=[f"{value:.12f}" if i else None for i, value in enumerate(y)],
        near=(y + 0.1 * rng.normal(size=40)).tolist(),
        same=[1.0] * 40,
        rare=[value if i < 9 else None for i, value in enumerate(y)],
        y=y.tolist(),
        word=["a", "b"] * 20,
    )
    kinds = dict.fromkeys(("fahrenheit", "text", "near", "same", "rare"), "number")
    assert proportional(table, kinds, "y", np.arange(40)) == ["fahrenheit", "text"]
    assert proportional(table, kinds, "word", np.arange(40)) == []
    assert proportional(table, kinds, "y", np.arange(9)) == []


def test_cells_that_leave_the_others_alike(tmp_path):
    numbers = [float(i) for i in range(100)]
    table = table_of(
        tmp_path,
        plain=numbers,
        sentinel=[9999999999999999 if i in (3, 50) else i for i in range(100)],
        text=["1e30" if i == 7 else str(i) for i in range(100)],
        few=[float(i == 9) for i in range(100)],
        wide=[2.0**i for i in range(100)],
        word=["9999999999999999" if i == 3 else str(i) for i in range(100)],
    )
    kinds = dict.fromkeys(table.column_names, "number") | {"word": "text"}
    found = outlying(table, kinds, np.arange(100))
    assert found == {"sentinel": [(3, 9999999999999999), (50, 9999999999999999)], "text": [(7, "1e30")]}
    assert outlying(table, kinds, np.arange(10, 40)) == {}


def test_evidence_that_a_column_is_the_answer(tmp_path):
    def found(x, y):
        return leaks(table_of(tmp_path, x=x, y=y), {"x": "category"}, "y", np.arange(len(y)))

    answers = ["u", "v", "w"] * 3
    assert found(["a", "b", "c"] * 3, answers) == ["x"]  # three values in nine rows
    assert found(["a", "b", "c"] * 2 + ["a", "b", "d"], answers) == []  # four
    assert found(["a", "b", None] * 3, answers) == ["x"]
    assert found([*"ab", None, *"ab", None, "a", None, None], answers) == ["x"]  # five cells of nine
    assert found([*"ab", None, *"ab", None, None, None, None], answers) == []
    assert found(["a"] * 9, answers) == []
    assert found(["a", "b", "c"] * 3, ["u"] * 9) == []
    assert found(["a", "a", "c"] * 3, answers) == []


def test_numbers_go_with_the_target_in_ten_rows_and_half_of_them(tmp_path):
    y = [float(i * i) for i in range(30)]

    def found(x, rows=30):
        return proportional(table_of(tmp_path, x=x, y=y), {"x": "number"}, "y", np.arange(rows))

    assert found([-value for value in y]) == ["x"]
    assert found([2 * value if i < 15 else None for i, value in enumerate(y)]) == ["x"]
    assert found([2 * value if i < 14 else None for i, value in enumerate(y)]) == []
    assert (found(y, 10), found(y, 9)) == (["x"], [])
    assert found([value if i else float("inf") for i, value in enumerate(y)]) == ["x"]
    rng = np.random.default_rng(0)
    assert found((np.array(y) + rng.normal(0, 2, 30)).tolist()) == ["x"]
    assert found((np.array(y) + rng.normal(0, 9, 30)).tolist()) == []
    assert found([str(value) if i else "none" for i, value in enumerate(y)]) == ["x"]


def test_cells_far_out_are_those_a_thousand_times_the_spread_away(tmp_path):
    numbers = [float(i % 10) for i in range(100)]

    def found(far, rows=100):
        cells = [far if i == 5 else value for i, value in enumerate(numbers)]
        return outlying(table_of(tmp_path, x=cells), {"x": "number"}, np.arange(rows))

    assert found(1e6) == {"x": [(5, 1e6)]}
    assert found(5e4) == {}
    assert found(None) == {}
    assert list(found(1e9, 10)) == []  # one cell of ten is more than a twentieth
    assert outlying(table_of(tmp_path, x=numbers), {"x": "text"}, np.arange(100)) == {}


def test_indices_are_those_that_the_file_tells_of(tmp_path):
    for told, found in (
        ({b"pandas": b'{"index_columns": ["i", {"kind": "range"}]}'}, ["i"]),
        ({b"pandas": b'{"index_columns": "i"}'}, []),
        ({b"pandas": b"no JSON"}, []),
        ({b"pandas": b"[]"}, []),
        ({}, []),
    ):
        table = table_of(tmp_path, i=[1], x=[1])
        table = dataclasses.replace(table, rows=table.rows.replace_schema_metadata(told))
        assert pandas_indices(table) == found, told


def test_columns_that_number_or_name_the_rows(tmp_path):
    n, rng = 200, np.random.default_rng(0)
    table = table_of(
        tmp_path,
        nr=(100 + rng.permutation(n)).tolist(),
        gaps=[i if i % 4 else None for i in range(n)],
        code=[f"X-{7 * i:04}" for i in range(n)],
        price=(rng.permutation(100_000)[:n]).tolist(),
        share=rng.normal(size=n).tolist(),
        age=(rng.integers(20, 60, n)).tolist(),
        name=[f"{chr(97 + i % 26)}{chr(97 + i // 26)}n" for i in range(n)],
        note=[f"this is remark number {i}" for i in range(n)],
    )
    kinds = kinds_of(table) | {"code": "text"}
    found = dict(identifiers(table, kinds, np.arange(n)))
    assert found.keys() == {"nr", "gaps", "code"}
    assert "whole numbers" in found["nr"]
    assert "codes" in found["code"]
    some = np.sort(rng.permutation(n)[:150])  # other rows are in other splits
    assert dict(identifiers(table, kinds, some)).keys() == {"nr", "gaps", "code"}
    assert identifiers(table, kinds, np.arange(10)) == []  # too few to tell


def test_identifiers_of_long_tables_are_found_in_some_of_their_rows(tmp_path):
    table = table_of(tmp_path, nr=list(range(5000)), x=[i % 11 for i in range(5000)])
    assert [name for name, _ in identifiers(table, kinds_of(table), np.arange(5000))] == ["nr"]
