"""What is committed stays, and a cell has one owner."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest

from perceiver_pytorch._saved_files import DamagedFileError

pytest.importorskip("sqlalchemy")
from perceiver_pytorch.experiments.store import DONE, FAILED, FILE, RUNNING, WAITING, Store, open_store

CELLS = [(f"k{i}", "set", {"text": f"level {i}"}, 0) for i in range(3)]


def filled(folder: Path) -> Store:
    store = Store(folder)
    store.want(CELLS, only=True)
    return store


def states(store: Store) -> list[str]:
    return [record.state for record in store.records()]


def test_a_cell_goes_from_waiting_to_done(tmp_path: Path) -> None:
    store = filled(tmp_path)
    with store.owning() as owner:
        assert store.claim(["k1", "k0"], owner) == "k1"
        assert states(store) == [WAITING, RUNNING, WAITING]
        assert store.finish("k1", owner, {"metrics": {"score": 0.5}})
    (_, record, _) = store.records()
    assert (record.state, record.result) == (DONE, {"metrics": {"score": 0.5}})
    assert record.took is not None
    assert record.took >= 0


def test_a_cell_has_one_owner(tmp_path: Path) -> None:
    first, second = filled(tmp_path), Store(tmp_path)
    with first.owning() as one, second.owning() as other:
        assert first.claim(["k0"], one) == "k0"
        assert second.claim(["k0"], other) is None
        assert not second.finish("k0", other, {})
        assert not second.fail("k0", other, "no")
        assert second.release_lost() == 0
        assert first.finish("k0", one, {})


def test_what_an_owner_leaves_waits_again(tmp_path: Path) -> None:
    store = filled(tmp_path)
    with store.owning() as owner:
        store.claim(["k0"], owner)
    assert states(store) == [WAITING] * 3
    assert not store.finish("k0", owner, {})


def test_results_outlive_a_change_of_the_experiment(tmp_path: Path) -> None:
    store = filled(tmp_path)
    with store.owning() as owner:
        store.claim(["k2"], owner)
        store.finish("k2", owner, {"a": 1})
    store.want(CELLS[:1], only=True)
    assert [record.key for record in store.records()] == ["k0"]
    store.want([("k2", "renamed", {"text": "x"}, 4)])
    assert store.records()[1].result == {"a": 1}
    assert store.records()[1].set == "renamed"


def test_cells_that_come_to_the_same_share_a_result(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.want([("k", "set", {"text": "a"}, 0), ("k", "set", {"text": "b"}, 0)])
    with store.owning() as owner:
        assert store.claim(["k", "k"], owner) == "k"
        assert store.claim(["k"], owner) is None
        store.finish("k", owner, {})
    assert states(store) == [DONE, DONE]


def test_failed_cells_run_again_when_asked(tmp_path: Path) -> None:
    store = filled(tmp_path)
    with store.owning() as owner:
        store.claim(["k0"], owner)
        store.fail("k0", owner, "ValueError: no")
    assert (store.records()[0].state, store.records()[0].error) == (FAILED, "ValueError: no")
    assert store.retry_failed() == 1
    assert states(store) == [WAITING] * 3


def test_a_killed_owner_loses_its_cell_and_keeps_what_it_finished(tmp_path: Path) -> None:
    filled(tmp_path)
    script = f"""
import time
from pathlib import Path
from unittest.mock import patch
from perceiver_pytorch.experiments.store import Store
store = Store(Path({str(tmp_path)!r}))
with store.owning() as owner:
    store.claim(["k0"], owner)
    store.finish("k0", owner, {{"a": 1}})
    store.claim(["k1"], owner)
    print("claimed", flush=True)
    time.sleep(100)
"""
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "claimed\n"
    store = open_store(tmp_path)
    assert store.release_lost() == 0  # it is alive
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert store.release_lost() == 1
    assert states(store) == [DONE, WAITING, WAITING]


def test_facts_are_kept_by_name(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.set_facts({"a": [1], "b": "x"})
    store.set_facts({"a": {"c": None}})
    assert store.facts() == {"a": {"c": None}, "b": "x"}


def test_what_is_no_database_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder of an experiment"):
        open_store(tmp_path)
    (tmp_path / FILE).write_bytes(b"something else" * 100)
    with pytest.raises(DamagedFileError, match="is no database of an experiment"):
        Store(tmp_path)


def test_a_database_that_another_process_has_half_made_is_completed(tmp_path: Path) -> None:
    first = Store(tmp_path)
    with first.engine.begin() as connection:
        first.facts_.drop(connection)
    second = Store(tmp_path)
    second.set_facts({"a": 1})
    assert first.facts() == {"a": 1}
    with patch.object(type(second.engine.dialect), "has_table", lambda *_, **__: False):  # looked before it was made
        assert Store(tmp_path).facts() == {"a": 1}
