import pytest

from perceiver_pytorch.training.run import peak_memory
from perceiver_pytorch.training.run.peak_memory import PeakMemory


@pytest.mark.skipif(not peak_memory._STATUS.exists(), reason="the system does not say")
def test_memory_that_is_let_go_counts_and_what_was_before_does_not():
    memory = PeakMemory()
    assert memory.used() > 10 << 20
    before = bytearray(64 << 20)
    memory.restart()
    if memory.raised() is None:
        pytest.skip("this container lets no peak start anew")
    for _ in range(2):
        there = bytearray(48 << 20)
        there[:: 1 << 12] = bytes(len(there) >> 12)
        del there
    assert 40 << 20 < memory.raised() < 96 << 20
    del before


def test_nothing_is_known_where_the_system_says_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(peak_memory, "_STATUS", tmp_path / "none")
    memory = PeakMemory()
    memory.restart()
    assert (memory.used(), memory.raised()) == (None, None)
