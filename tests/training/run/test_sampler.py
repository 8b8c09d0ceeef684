import pytest

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
