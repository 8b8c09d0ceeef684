import os

import pytest
import torch
from torch import nn

from perceiver_pytorch.nn.sizes import Sizes
from perceiver_pytorch.training.run import memory
from perceiver_pytorch.training.run.memory import checked_size, is_out_of_memory


def test_weights_that_do_not_fit_are_refused_before_they_are_made(monkeypatch):
    with pytest.raises(ValueError, match=r"its weights take 4,000,000 GB, this machine has [\d,]+ GB; give smaller"):
        checked_size(lambda: nn.Linear(10**9, 10**6, bias=False))
    with pytest.raises(ValueError, match=r"its weights take 9,223,372,037 GB"):
        checked_size(lambda: nn.Linear(2**62, 8))
    with pytest.raises(ValueError, match="depth must make at most 10,000 blocks in all, got 10,001"):
        Sizes(depth=10_001)
    monkeypatch.setattr(memory, "_memory", lambda: None)  # a system that does not say
    checked_size(lambda: nn.Linear(10**9, 10**6, bias=False))


def test_random_numbers_are_left_as_they_are():
    torch.manual_seed(0)
    first = torch.rand(3)
    torch.manual_seed(0)
    checked_size(lambda: nn.Linear(3, 3))
    assert torch.equal(torch.rand(3), first)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
            True,
        ),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (RuntimeError("shapes differ"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_every_allocator_has_its_words(error, told):
    assert is_out_of_memory(error) == told


def test_weights_that_just_fit_are_made(monkeypatch):
    monkeypatch.setattr(memory, "_memory", lambda: 8 * 3 * 4)
    checked_size(lambda: nn.Linear(8, 3, bias=False))
    monkeypatch.setattr(memory, "_memory", lambda: 8 * 3 * 4 - 1)
    with pytest.raises(ValueError, match="must fit into memory"):
        checked_size(lambda: nn.Linear(8, 3, bias=False))
    checked_size(lambda: nn.Linear(8, 3, bias=False, dtype=torch.float16))


def test_other_errors_of_building_a_model_are_its_own():
    def build():
        raise RuntimeError("no such layer")

    with pytest.raises(RuntimeError, match="no such layer"):
        checked_size(build)


def test_a_system_may_not_say_how_much_memory_it_has(monkeypatch):
    assert memory._memory() == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") > 1 << 26

    def unknown(name):
        raise ValueError(name)

    monkeypatch.setattr(os, "sysconf", unknown)
    assert memory._memory() is None
