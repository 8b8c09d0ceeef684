"""JSON files."""

import json

import pytest

from perceiver_pytorch.data import DataError, ReadOptions, load_table


def test_lines_of_json_with_columns_of_their_own_or_of_two_types(tmp_path):
    options = ReadOptions(skip_bad=True)
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": 1}\nnothing\n{"a": 2, "b": "x"}\n')
    table = load_table(path, options)
    assert [table.row(i) for i in range(2)] == [{"a": 1, "b": None}, {"a": 2, "b": "x"}]
    path.write_text('{"a": 1, "x": 1.5}\nnothing\n{"a": 2, "x": "2.5"}\n')
    with pytest.raises(DataError, match="column 'x' has values of different types"):
        load_table(path, options)


@pytest.mark.parametrize("name", ["t.json", "t.jsonl"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_list_of_json_objects_is_a_table(tmp_path, name, encoding):
    rows = [{"a": 1, "b": "é"}, {"a": 2, "b": None, "c": [1.5]}]
    path = tmp_path / name
    path.write_bytes((" \n" * (encoding == "utf-8") + json.dumps(rows, indent=1, ensure_ascii=False)).encode(encoding))
    table = load_table(path)
    assert [table.row(i) for i in range(2)] == [{"c": None, **rows[0]}, rows[1]]
    for text, message in (
        ("[1, 2]", "row 0 must be a JSON object, got '1'"),
        ('[{"a": 1}', "is no JSON"),
        ('[{"a": 1}, {"a": "x"}]', "column 'a' has values of different types"),
        ("[]", "no rows"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            load_table(path)


def test_lines_that_are_empty_or_no_objects(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": 1}\n\n[3]\nnull\n{"a": 2}\n')
    table = load_table(path, ReadOptions(skip_bad=True))
    assert table.column("a") == [1, 2]
    assert table.notes[0].endswith("1 lines are left out: line 3 is no JSON object")
    with pytest.raises(DataError, match="cannot be read as jsonl"):
        load_table(path)
    path.write_text('{"a": 1}\n' + "[" * 100_000 + "\n")
    assert "line 2 is no JSON (" in load_table(path, ReadOptions(skip_bad=True)).notes[0]
    path.write_text("[" * 100_000)
    with pytest.raises(DataError, match="is no JSON"):
        load_table(path)


def test_lines_of_another_encoding(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_bytes('{"a": "é"}\n'.encode("utf-16"))
    assert load_table(path).column("a") == ["é"]
    path.write_bytes('{"a": "é"}\n'.encode("latin-1"))
    assert load_table(path, ReadOptions(encoding="latin-1")).column("a") == ["é"]
    with pytest.raises(DataError, match=r"cannot be read as jsonl: .*codec can't decode"):
        load_table(path, ReadOptions(encoding="ascii"))


def test_a_number_that_arrow_has_not_is_told(tmp_path):
    path = tmp_path / "t.json"
    path.write_text(json.dumps([{"a": 1 << 70}, {"a": 1}]))
    with pytest.raises(DataError, match="column 'a' has values of different types") as caught:
        load_table(path)
    assert caught.value.column == "a"
    path.write_text('[{"a": 1}, "x"]')
    with pytest.raises(DataError, match="row 1 must be a JSON object, got 'x'") as caught:
        load_table(path)
    assert caught.value.row == 1
