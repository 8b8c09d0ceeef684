import numpy as np

from data_helpers import fitted, table_of
from perceiver_pytorch.data import TableDataset
from perceiver_pytorch.data.lengths import longest_first, row_lengths, token_counts


def texts(tmp_path, **options):
    cells = ["one", "one two three", None, "one two", "a b c d e"]
    table = table_of(tmp_path, note=cells, size=[1.0, 2.0, 3.0, None, 5.0], y=["u", "v", "u", "v", "u"])
    spec, _ = fitted(table, "y", kinds={"note": "text", "size": "number"})
    return TableDataset(table, np.arange(5), spec, **options)


def test_tokens_are_counted_whether_or_not_rows_are_kept(tmp_path):
    late, early = texts(tmp_path, cache_bytes=0), texts(tmp_path)
    early.prepare()
    names = [modality.name for modality in early.spec.modalities]
    notes = token_counts(early)[:, names.index("note")]
    assert notes.tolist() == [1, 3, 0, 2, 5]
    np.testing.assert_array_equal(token_counts(late), token_counts(early))
    np.testing.assert_array_equal(token_counts(early, [4, 1, 1]), token_counts(early)[[4, 1, 1]])
    assert token_counts(early, []).shape == (0, len(names))
    assert longest_first(early, range(5))[0] == 4
    assert longest_first(early, [3, 1, 0])[-1] == 0
    assert longest_first(late, range(5)) == list(range(5))  # to sort them, they would be decoded


def test_bad_rows_have_no_tokens(tmp_path):
    table = table_of(tmp_path, x=["1", "junk", "3"], y=["u", "v", "u"])
    spec, _ = fitted(table_of(tmp_path, x=["1", "2", "3"], y=["u", "v", "u"]), "y", kinds={"x": "number"})
    found = token_counts(TableDataset(table, np.arange(3), spec, on_error="skip"))
    assert found[:, 0].tolist() == [1, 0, 1]


def test_what_is_missing_is_as_long_as_usual():
    assert row_lengths(np.array([[2, 10], [4, 0], [0, 30]])).tolist() == [12, 24, 33]
