import pytest

from perceiver_pytorch.data import DataError
from perceiver_pytorch.data import budget as module
from perceiver_pytorch.data.budget import Budget


def test_a_table_may_take_a_quarter_of_the_free_memory(monkeypatch):
    monkeypatch.setattr(module, "free_memory", lambda: 400 << 20)
    budget = Budget.of(None)
    budget.check("t.csv", 100 << 20)
    with pytest.raises(
        DataError, match=r"t\.csv: takes at least 200 MB .* 100 MB, a quarter of the memory that is free"
    ):
        budget.check("t.csv", 200 << 20)


def test_what_was_asked_for_counts_and_the_message_names_the_remedies():
    message = r"may take 3 MB, as --table-mb \(data\.table_mb\) says\. Give a larger --table-mb, or unpack it"
    with pytest.raises(DataError, match=message):
        Budget.of(3).check("t.csv", (3 << 20) + 1, "unpack it")
