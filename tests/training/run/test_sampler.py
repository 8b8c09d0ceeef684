import numpy as np
import pytest
import torch

from perceiver_pytorch.training.run.sampler import EpochBatches


@pytest.mark.parametrize("size", [1, 7, 8, 9])
def test_every_row_comes_once(size):
    batches = EpochBatches(size, 4, seed=1)
    given = list(batches)
    assert len(given) == len(batches)
    assert sorted(row for batch in given for row in batch) == list(range(size))


def test_the_order_depends_on_seed_and_epoch_alone():
    first, second = EpochBatches(20, 3, seed=5), EpochBatches(20, 3, seed=5)
    first.set_epoch(2)
    list(second)
    second.set_epoch(2)
    assert list(first) == list(second)
    second.set_epoch(3)
    assert list(first) != list(second)


def test_skipped_batches_are_skipped_once():
    batches = EpochBatches(20, 3, seed=5)
    whole = list(batches)
    batches.skip = 4
    assert list(batches) == whole[4:]
    assert list(batches) == whole
    second, whole = EpochBatches(20, 3, seed=5), EpochBatches(20, 3, seed=5)
    assert list(second) == list(whole)


@pytest.mark.parametrize(("size", "batch_size", "steps"), [(20, 3, 4), (5, 4, 7), (3, 8, 2), (1, 1, 3)])
def test_rounds_are_cut_from_one_pass_after_the_other(size, batch_size, steps):
    batches = EpochBatches(size, batch_size, seed=5, steps=steps)
    given = []
    for number in range(6):
        batches.set_epoch(number)
        given += list(batches)
    assert len(given) == 6 * len(batches) == 6 * steps
    assert all(len(batch) == batch_size for batch in given)
    rows = [row for batch in given for row in batch]
    for number in range(len(rows) // size):
        assert rows[number * size : (number + 1) * size] == drawn(size, 5 * 1_000_003 + number)
    for number, skip in ((4, 1), (0, steps - 1)):  # it can be taken up anywhere
        batches.set_epoch(number)
        batches.skip = skip
        assert list(batches) == given[number * steps + skip : (number + 1) * steps]


@pytest.mark.parametrize(
    ("size", "batch_size", "steps"), [(200, 4, 7), (30, 4, 5), (5, 4, 7), (3, 8, 2), (70, 4, None)]
)
def test_rows_of_like_length_share_a_batch(size, batch_size, steps):
    lengths = np.random.default_rng(0).integers(1, 50, size)
    batches = EpochBatches(size, batch_size, seed=5, steps=steps, lengths=lengths)
    given = []
    for number in range(60):
        batches.set_epoch(number)
        given += list(batches)
    rows = [row for batch in given for row in batch]
    for number in range(len(rows) // size):  # each pass has every row once
        assert sorted(rows[number * size : (number + 1) * size]) == list(range(size))
    for number, skip in ((4, 1), (0, len(batches) - 1)):  # it can be taken up anywhere
        batches.set_epoch(number)
        batches.skip = skip
        assert list(batches) == given[number * len(batches) + skip : (number + 1) * len(batches)]
    if size > 4 * batch_size:
        mixed = EpochBatches(size, batch_size, seed=5)
        spread = [np.mean([np.ptp(lengths[batch]) for batch in each]) for each in (given, list(mixed))]
        assert spread[0] < 0.5 * spread[1]
        assert [*map(sorted, given[: len(mixed)])] != [*map(sorted, given[len(mixed) : 2 * len(mixed)])]


def drawn(size, seed):
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed)).tolist()


def test_the_order_is_the_one_that_runs_before_had():
    batches = EpochBatches(7, 3, seed=5)
    batches.set_epoch(2)
    order = drawn(7, 5 * 1_000_003 + 2)
    assert list(batches) == [order[:3], order[3:6], order[6:]]
    assert len(batches) == 3
    assert (EpochBatches(7, 3, seed=5).window, EpochBatches(7, 3, seed=5).epoch) == (4096, 0)


@pytest.mark.parametrize("window", [4, 5, 100])
def test_parts_come_in_a_random_order_and_are_mixed_in_windows(window):
    batches = EpochBatches(11, 11, seed=3, parts=[0, 2, 7], window=window)
    batches.set_epoch(1)
    generator = torch.Generator().manual_seed(3 * 1_000_003 + 1)
    parts = [np.arange(0, 2), np.arange(2, 7), np.arange(7, 11)]
    order = np.concatenate([parts[i] for i in torch.randperm(3, generator=generator)])
    for start in range(0, 11, window):
        rows = order[start : start + window]
        order[start : start + window] = rows[torch.randperm(len(rows), generator=generator)]
    assert list(batches) == [order.tolist()]
