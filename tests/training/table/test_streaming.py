"""Training from shards, from rows that are decoded when they are needed, and in workers."""

import io
import subprocess
import sys
import tarfile
import textwrap
import warnings

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from kill_helpers import at_step, attempt, check_equal, digest
from perceiver_pytorch._settings import read_settings
from perceiver_pytorch.data import DataError
from perceiver_pytorch.training.run.sampler import EpochBatches
from perceiver_pytorch.training.table.run import TableRun
from training_helpers import SILENT, fit, tiny_config, write_mixed_table


def png(value):
    buffer = io.BytesIO()
    Image.fromarray(np.full((6, 6), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write_shards(folder, shards=4, rows=12, bad=()):
    """Dark or light pictures; the rows in `bad` are no pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for shard in range(shards):
        part = "val" if shard == shards - 1 else "train"
        with tarfile.open(folder / f"{part}-{shard:03}.tar", "w") as tar:
            for i in range(shard * rows, (shard + 1) * rows):
                light = int(rng.integers(2))
                data = b"no picture" if i in bad else png(int(rng.integers(60)) + 180 * light)
                for extension, content in (("png", data), ("cls", str(light).encode())):
                    info = tarfile.TarInfo(f"{i:04}.{extension}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
    return folder


def config_of(table, data=None, **training):
    config = tiny_config(table, **training)
    return read_settings(type(config), {"data": {"target": "cls", **(data or {})}}, base=config)


def test_shards_train_and_say_how_they_were_read(tmp_path):
    run = TableRun.create(tmp_path / "run")
    fit(config_of(write_shards(tmp_path / "shards"), epochs=2, num_workers=0), run, reporter=SILENT)
    report = run.report_file.read_text()
    assert "The rows stay in 4 shards" in report
    assert "decoded when they are needed" in report
    assert "Training waited for data in" in report
    assert 0 < run.metrics()["data_wait_share"] <= 1
    assert run.metrics()["split"] == "validation"


def test_shards_are_resumed_exactly(tmp_path):
    config = config_of(write_shards(tmp_path / "shards"), epochs=3, checkpoint_every="1 steps", num_workers=0)
    whole = TableRun.create(tmp_path / "whole")
    fit(config, whole, reporter=SILENT)
    assert not attempt(config, tmp_path / "run", at_step, 7)
    assert attempt(config, tmp_path / "run")
    check_equal(TableRun.open(tmp_path / "run"), whole)


def test_the_weights_do_not_depend_on_the_workers(tmp_path):
    table = write_shards(tmp_path / "shards", bad=(3, 40))
    weights = []
    for workers in (0, 2):
        run = TableRun.create(tmp_path / f"run{workers}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # about forking where there are threads
            fit(config_of(table, {"on_error": "skip"}, num_workers=workers), run, reporter=SILENT)
        assert run.metrics()["bad_rows"] == 2
        assert "cannot be decoded" in run.report_file.read_text()
        weights.append(digest(run))
    assert weights[0] == weights[1]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_row_that_is_met_late_is_named(tmp_path, workers):
    table = write_shards(tmp_path / "shards", bad=(3,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with pytest.raises(DataError, match=r"train-000\.tar, its sample 3: row 3, column 'png': .*cannot be decoded"):
            fit(config_of(table, num_workers=workers), TableRun.create(tmp_path / "run"), reporter=SILENT)


def test_a_batch_of_bad_rows_is_filled_in_training(tmp_path):
    table = write_shards(tmp_path / "shards", bad=range(30))
    run = TableRun.create(tmp_path / "run")
    data = {"on_error": "skip", "columns": {"png": "image"}}
    fit(config_of(table, data, batch_size=2, num_workers=0), run, reporter=SILENT)
    assert run.metrics()["bad_rows"] == 30


def test_rows_that_do_not_fit_into_memory_give_the_same_weights(tmp_path, monkeypatch):
    table, weights = write_mixed_table(tmp_path / "mixed"), []
    for size in (64, 0):
        run, config = TableRun.create(tmp_path / f"run{size}"), tiny_config(table, num_workers=0)
        config = read_settings(type(config), {"data": {"cache_mb": size}}, base=config)
        fit(config, run, reporter=SILENT)
        assert ("kept decoded in memory" in run.report_file.read_text()) == bool(size)
        weights.append(digest(run))
    assert weights[0] == weights[1]


def test_every_epoch_has_an_order_of_its_own(tmp_path, monkeypatch):
    orders = []
    original = EpochBatches.__iter__
    monkeypatch.setattr(EpochBatches, "__iter__", lambda self: iter(orders.append(list(original(self))) or orders[-1]))
    run = TableRun.create(tmp_path / "run")
    fit(tiny_config(write_mixed_table(tmp_path / "mixed"), epochs=3), run, reporter=SILENT)
    assert len(orders) == 3
    assert len({str(order) for order in orders}) == 3


def test_parts_are_read_one_after_the_other_and_mixed_in_windows():
    batches = EpochBatches(100, 5, seed=3, parts=[0, 20, 70], window=10)
    order = np.concatenate([*map(np.array, batches)])
    assert sorted(order) == list(range(100))
    parts = np.searchsorted([0, 20, 70], order, side="right")
    changes = np.flatnonzero(np.diff([parts[i : i + 10].min() for i in range(0, 100, 10)]))
    assert len(changes) <= 2
    for start in range(0, 100, 10):
        assert np.ptp(np.sort(order[start : start + 10])) == 9
        assert list(order[start : start + 10]) != sorted(order[start : start + 10])
    batches.set_epoch(1)
    assert not np.array_equal(order, np.concatenate([*map(np.array, batches)]))


def test_memory_does_not_grow_with_the_shards(tmp_path):
    """Ten times the rows, of a kilobyte each: a few megabytes more at most (row numbers, allocators)."""
    rng = np.random.default_rng(0)
    for name, shards in (("few", 4), ("many", 40)):
        (tmp_path / name).mkdir()
        for shard in range(shards):
            payload = [rng.bytes(12_000) for _ in range(500)]
            table = pyarrow.table({"x": rng.normal(size=500), "file": payload, "y": ["ab"[i % 2] for i in range(500)]})
            pyarrow.parquet.write_table(table, tmp_path / name / f"{shard}.parquet", row_group_size=100)
    code = """
        import resource
        import numpy as np
        from perceiver_pytorch.data import BatchLoader, InputSpec, ReadOptions, TableDataset, load_table
        from perceiver_pytorch.data.sources import parquet
        from perceiver_pytorch.training.run.sampler import EpochBatches
        parquet.KEPT_BYTES = 4 << 20
        for name in ("few", "many"):
            table = load_table(name, ReadOptions(stream=True))
            for shard in table.shards:
                shard._kept.limit = 8 << 20
            rows = np.arange(len(table))
            spec = InputSpec.fit(table.sample(rows[:100], ["y"])[0], {"x": "number"}, target="y", rows=np.arange(100))
            data = TableDataset(table, rows, spec, cache_bytes=0, workers=0)
            data._columns.append("file")
            order = EpochBatches(len(rows), 64, 0, parts=np.arange(0, len(rows), 500), window=256)
            seen = sum(len(batch.rows) for batch in BatchLoader(data, order))
            assert seen == len(rows), seen
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    few, many = (int(peak) / 1024 for peak in done.stdout.split())
    assert many < few + 40, (few, many)  # the rows are 216 MB more
