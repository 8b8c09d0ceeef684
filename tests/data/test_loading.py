"""Batches of rows, and how long they are waited for."""

import multiprocessing
import signal
import time
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from data_helpers import png, table_of
from perceiver_pytorch._processes import end_kept
from perceiver_pytorch.data import DataError, InputSpec, TableDataset, in_order, loading, workers
from perceiver_pytorch.data.loading import BatchLoader, BatchReader, InOrder, Waiting
from perceiver_pytorch.data.media import decoder


def dataset(tmp_path, bad=(), count=10, **options):
    """Pictures of one shade each, but for bad rows."""
    cells = [b"junk" if i in bad else png(np.full((4, 4), i, np.uint8)) for i in range(count)]
    table = table_of(tmp_path, x=cells, y=["a", "b"] * (count // 2))
    good = np.array([i for i in range(count) if i not in bad])
    spec = InputSpec.fit(table, {"x": "image"}, target="y", rows=good)
    return TableDataset(table, np.arange(count), spec, **{"workers": 0, "on_error": "skip", **options})


def test_rows_come_first_to_last(tmp_path):
    assert list(InOrder(7, 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert (len(InOrder(7, 3)), len(InOrder(6, 3)), len(InOrder(0, 3))) == (3, 2, 0)
    assert [batch.rows.tolist() for batch in in_order(dataset(tmp_path), 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_reader_tells_bad_rows_and_fills_a_batch_of_them(tmp_path):
    data = dataset(tmp_path, bad=(3, 4, 5, 9))
    read = BatchReader(data, fill=False)[[2, 3]]
    assert read.batch.rows.tolist() == [2]
    assert [entry.row for entry in read.bad] == [3]
    nothing = BatchReader(data, fill=False)[[3, 4]]
    assert nothing.batch is None
    filled = BatchReader(data, fill=True)
    assert filled[[3, 4]].batch.rows.tolist() == [6]  # the next good one
    assert [entry.row for entry in filled[[3, 4]].bad] == [3, 4]
    assert filled[[8, 9]].batch.rows.tolist() == [8]
    assert filled[[9]].batch.rows.tolist() == [0]  # from the beginning again


def test_only_so_many_rows_are_tried(tmp_path, monkeypatch):
    data = dataset(tmp_path, bad=range(1, 6))
    monkeypatch.setattr(loading, "_SEARCHED", 4)
    assert BatchReader(data, fill=True)[[1]].batch is None
    assert BatchReader(data, fill=True)[[2]].batch.rows.tolist() == [6]
    loader = BatchLoader(data, InOrder(10, 1), fill=True)
    with pytest.raises(DataError, match=r": none of 4 rows can be used: the image cannot be decoded"):
        list(loader)


def test_bad_rows_are_kept_or_raised(tmp_path):
    data = dataset(tmp_path, bad=(3, 4, 5))
    rows = [batch.rows.tolist() for batch in in_order(data, 2)]
    assert rows == [[0, 1], [2], [6, 7], [8, 9]]  # a batch without a good row is left out
    assert sorted(data.bad) == [3, 4, 5]
    strict = dataset(tmp_path, bad=(3,), on_error="raise")
    with pytest.raises(DataError, match=r"row 3, column 'x': .*--on-error skip"):
        list(in_order(strict, 2))


def test_changes_are_told_until_they_are_counted(tmp_path):
    table = table_of(tmp_path, x=["p", "q"] * 4 + ["r"], y=["a", "b"] * 4 + ["a"])
    spec = InputSpec.fit(table, {"x": "category"}, target="y", rows=np.arange(8))
    late = TableDataset(table, np.arange(9), spec, workers=0)
    assert list(BatchReader(late, fill=False)[[7, 8]].changes) == [8]
    list(in_order(late, 4))
    assert (late.losses.rows, [count.first for count in late.losses.counts()]) == (9, [[8]])
    early = TableDataset(table, np.arange(9), spec, workers=0)
    early.prepare()
    assert BatchReader(early, fill=False)[[7, 8]].changes == {}
    list(in_order(early, 4))
    assert [count.rows for count in early.losses.counts()] == [1]


def test_waiting_is_measured_from_the_first_batch_to_the_end(tmp_path, monkeypatch):
    assert Waiting().share == 0
    assert Waiting(1.0, 4.0).share == 0.25
    loader = in_order(dataset(tmp_path), 4)
    clock = iter([100.0, *(100.0 + i for i in (2, 3, 5, 9, 10, 11, 30))])
    now = [0.0]

    def monotonic():
        now[0] = next(clock, now[0])
        return now[0]

    with monkeypatch.context() as patch:
        patch.setattr(loading, "time", SimpleNamespace(monotonic=monotonic))
        assert len(list(loader)) == 3
    # asked at 0, 3, 9, 11; there at 2, 5, 10, 30
    assert loader.waiting == Waiting(2 + 2 + 1 + 19, 30)
    list(loader)
    assert 30 < loader.waiting.seconds < 31 + time.monotonic()


def test_workers_are_those_that_are_worth_it(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "usable_cores", lambda: 3)
    data = dataset(tmp_path, workers=None)
    assert loading._workers(data) == 3
    monkeypatch.setattr(workers, "usable_cores", lambda: 99)
    assert loading._workers(data) == 8
    data.prepared = True
    assert loading._workers(data) == 0
    data.workers = 2
    assert loading._workers(data) == 2


def test_workers_stay_and_share_what_may_be_kept(tmp_path, monkeypatch):
    data = dataset(tmp_path, workers=2, cache_bytes=1001)
    closed = []
    monkeypatch.setattr(decoder, "close", lambda: closed.append(1))
    loader = in_order(data, 4)
    assert (loader.num_workers, loader.persistent_workers, closed) == (2, True, [1])
    none = in_order(dataset(tmp_path), 4)
    assert (none.num_workers, none.persistent_workers, closed) == (0, False, [1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about forking where there are threads
        assert [batch.rows.tolist() for batch in loader] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    begun = []
    info = type("Info", (), {"num_workers": 4, "dataset": BatchReader(data, fill=False)})()
    monkeypatch.setattr(loading, "begin", begun.append)
    monkeypatch.setattr(loading, "get_worker_info", lambda: info)
    loading._start_worker(3)
    assert (begun, data._free_bytes) == ([3], 250)


@pytest.fixture
def kept_workers(tmp_path):
    """A loader whose two workers wait for its next iteration."""
    loader = in_order(dataset(tmp_path, workers=2), 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about forking where there are threads
        assert len(list(loader)) == 3
        yield loader


def pids():
    return {child.pid for child in multiprocessing.active_children()}


def test_kept_workers_end_at_once_and_others_follow(kept_workers):
    begun, before = time.monotonic(), pids()
    end_kept(kept_workers)
    assert not pids() & before
    assert time.monotonic() - begun < torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL  # they have heard of it
    assert len(list(kept_workers)) == 3
    end_kept(kept_workers)
    end_kept(kept_workers)  # there are none


@pytest.mark.skipif(not hasattr(signal, "sigtimedwait"), reason="the system does not tell who sent a signal")
def test_workers_that_do_not_hear_of_their_end_are_ended(kept_workers, monkeypatch):
    """As those of a loader that the garbage collector finds."""
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.2)
    kept = list(kept_workers._iterator._workers)
    for queue in kept_workers._iterator._index_queues:
        monkeypatch.setattr(queue, "put", lambda end: None)
    end_kept(kept_workers)
    for worker in kept:  # older versions of PyTorch do not wait for them
        worker.join(20)
    assert [worker.exitcode for worker in kept] == [0, 0]


def test_a_thousand_rows_are_tried_for_a_batch():
    class Bad:
        prepared, asked = False, 0

        def __len__(self):
            return 7

        def samples(self, places):
            self.asked += 1
            return [], []

    data = Bad()
    assert BatchReader(data, fill=True)[[1, 2]].batch is None
    assert data.asked == 1 + 1000
    assert BatchReader(data, fill=False)[[1, 2]].batch is None
    assert data.asked == 1 + 1000 + 1
