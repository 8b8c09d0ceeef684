import numpy as np
import pytest

from data_helpers import fitted, table_of
from perceiver_pytorch.data import TableDataset
from perceiver_pytorch.training.table.by_length import saves_by_length


@pytest.mark.parametrize(
    ("words", "saves"),
    [
        (lambda i: 1 + i * 7 % 60, True),
        (lambda i: 30, False),  # all alike
        (lambda i: 30 + i % 3, False),  # nearly
        (lambda i: 1 + i % 4, False),  # hardly any tokens
    ],
)
def test_it_is_worth_it_where_texts_are_long_and_of_all_lengths(tmp_path, words, saves):
    table = table_of(tmp_path, note=["word " * words(i) for i in range(200)], y=["u", "v"] * 100)
    spec, _ = fitted(table, "y", kinds={"note": "text"})
    dataset = TableDataset(table, np.arange(200), spec)
    assert not saves_by_length(dataset, 16, 0)  # nobody knows yet
    dataset.prepare()
    assert saves_by_length(dataset, 16, 0) == saves
    assert not saves_by_length(dataset, 200, 0)  # there is one batch
