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
