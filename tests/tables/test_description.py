from perceiver_pytorch.tables.description import lines, score, size


def test_facts_are_told_a_line_each_and_empty_ones_are_left_out():
    facts = {
        "what": "table",
        "rows": 12345,
        "none": None,
        "notes": [],
        "model": {"depth": 2, "rate": 0.00123456},
        "names": ["a", "b"],
        "score": score(0.9, {"low": 0.81, "high": 0.95}),
    }
    assert lines(facts) == [
        "what: table",
        "rows: 12,345",
        "model:",
        "  depth: 2",
        "  rate: 0.001235",
        "names: a, b",
        "score: 0.9 (0.81–0.95)",
    ]


def test_entries_with_parts_are_columns():
    found = lines({"columns": [{"column": "a", "kind": "number", "note": None}, {"column": "long", "kind": "x"}]})
    assert found == ["columns:", "  column  kind", "  a       number", "  long    x"]
    many = lines({"columns": [{"column": str(i)} for i in range(70)]})
    assert many[-1] == "  … and 10 more"


def test_long_texts_have_a_line_each():
    long = "this is a sentence of more than forty letters"
    assert lines({"verdict": [long, long]}) == ["verdict:", f"  {long}", f"  {long}"]


def test_a_score_that_rows_cannot_say_is_none():
    assert score(None) is None
    assert score(0.5) == {"value": 0.5}


def test_bytes_have_a_unit_that_people_read():
    assert [size(n) for n in (12, 1234, 5_600_000, 7.8e9, 2e12)] == ["12 bytes", "1.2 kB", "5.6 MB", "7.8 GB", "2.0 TB"]
