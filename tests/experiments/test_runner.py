"""Whole experiments in processes: complete, killed and gone on with, beside one another, with cells that fail."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from experiment_helpers import TEXT, experiment, write_table

pytest.importorskip("sqlalchemy")
from perceiver_pytorch.experiments.progress import Standing
from perceiver_pytorch.experiments.runner import Runner, death
from perceiver_pytorch.experiments.store import DONE, FAILED, RUNNING, WAITING, open_store

ONE_FACTOR = TEXT.replace("  - {name: depth, option: model.depth, levels: [1, 2]}\n", "").replace(
    "quick: {factors: {depth: [2]}, seeds: 1}", ""
)
SCRIPT = """
import signal
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from experiment_helpers import experiment
from perceiver_pytorch.experiments.progress import Standing
from perceiver_pytorch.experiments.runner import Runner
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where these tests run in the background of a shell
    text = Path("text.yaml").read_text()
    Runner(experiment(text), Path("out"), data=Path("."), processes=1).run()
"""


def start(folder: Path, text: str) -> subprocess.Popen[bytes]:
    """Another process that runs the experiment in a folder."""
    (folder / "text.yaml").write_text(text)
    (folder / "run.py").write_text(SCRIPT.format(tests=str(Path(__file__).parent.parent)))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "run.py"], cwd=folder, env=environment, stderr=subprocess.DEVNULL, start_new_session=True
    )


def left_of(session: int) -> list[int]:
    """Processes of a session that are not dead; none where the system does not list them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, of = path.read_text().rpartition(")")[2].split()[:4]
            found += [int(path.parent.name)] if int(of) == session and state != "Z" else []
    return found


def wait_for(folder: Path, state: str, count: int) -> None:
    """Until so many cells are in a state."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (folder / "out/experiment.sqlite").is_file():
            states = [record.state for record in open_store(folder / "out").records()]
            if states.count(state) >= count:
                return
        time.sleep(0.05)
    pytest.fail(f"there were never {count} cells that are {state}")


def test_all_cells_are_trained_and_told_and_none_again(tmp_path: Path) -> None:
    write_table(tmp_path)
    standings: list[Standing] = []
    runner = Runner(experiment(ONE_FACTOR), tmp_path / "out", data=tmp_path, processes=2, watch=standings.append)
    records = runner.run()
    assert [record.state for record in records] == [DONE] * 4
    for record in records:
        assert record.result is not None
        assert record.result["metrics"].keys() == {"score", "loss"}
        assert record.result["steps"] == 2
        assert record.result["history"]
    assert standings[-1].done == standings[-1].total == 4
    assert not [*(runner.folder / "runs").iterdir(), *(runner.folder / "logs").iterdir()]
    assert Runner(experiment(ONE_FACTOR), tmp_path / "out", data=tmp_path).run() == records
    more = Runner(experiment(ONE_FACTOR.replace("seeds: 2", "seeds: 3")), tmp_path / "out", data=tmp_path)
    assert [record.state for record in more.store.records()].count(WAITING) == 2


def test_killed_at_any_moment_it_goes_on_without_losing_or_repeating_a_cell(tmp_path: Path) -> None:
    write_table(tmp_path)
    text = ONE_FACTOR.replace("seeds: 2", "seeds: 1")
    child = start(tmp_path, text)
    wait_for(tmp_path, DONE, 1)
    wait_for(tmp_path, RUNNING, 1)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    deadline = time.monotonic() + 60
    while left_of(child.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left_of(child.pid)
    store = open_store(tmp_path / "out")
    before = {record.key: record for record in store.records() if record.state == DONE}
    records = Runner(experiment(text), tmp_path / "out", data=tmp_path, processes=1).run()
    assert [record.state for record in records] == [DONE] * 2
    after = {record.key: record for record in records}
    assert all(after[key] == record for key, record in before.items())  # its owner and its seconds, too


def test_interrupted_it_leaves_finished_cells_and_nothing_half_done(tmp_path: Path) -> None:
    write_table(tmp_path)
    child = start(tmp_path, ONE_FACTOR)
    wait_for(tmp_path, RUNNING, 1)
    child.send_signal(signal.SIGINT)
    assert child.wait(60) != 0
    states = {record.state for record in open_store(tmp_path / "out").records()}
    assert states <= {DONE, WAITING}
    assert WAITING in states
    assert not [*(tmp_path / "out").glob("runs/*"), *(tmp_path / "out").glob("owners/*")]


@pytest.mark.nightly
def test_two_processes_share_the_cells_of_a_folder(tmp_path: Path) -> None:
    write_table(tmp_path)
    child = start(tmp_path, TEXT)
    try:
        wait_for(tmp_path, RUNNING, 1)
        records = Runner(experiment(TEXT), tmp_path / "out", data=tmp_path, processes=1).run()
        assert child.wait(60) == 0
    finally:
        child.kill()
    assert [record.state for record in records] == [DONE] * 8
    assert len({record.owner for record in records}) == 2


def test_a_cell_that_fails_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    write_table(tmp_path)
    text = ONE_FACTOR.replace("seeds: 2", "seeds: 1").replace(
        "name: split", "name: bad, model: 'perceiver_pytorch.experiments.spec:Level'"
    )
    runner = Runner(experiment(text), tmp_path / "out", data=tmp_path, processes=1)
    records = runner.run()
    assert {record.levels["text"]: record.state for record in records} == {"whole": DONE, "bad": FAILED}
    (error,) = {record.error for record in records if record.state == FAILED}
    assert error is not None
    assert error.startswith("AttributeError: ")
    assert "Traceback" in next((tmp_path / "out/logs").iterdir()).read_text()
    assert [record.state for record in runner.run()].count(FAILED) == 1  # without being tried again


def test_sets_with_wide_intervals_get_more_seeds(tmp_path: Path) -> None:
    write_table(tmp_path)
    text = ONE_FACTOR.replace("seeds: 2", "seeds: {first: 1, most: 2, until: 0.001}")
    records = Runner(experiment(text), tmp_path / "out", data=tmp_path, processes=1).run()
    assert sorted((record.levels["text"], record.seed) for record in records) == [
        *(("split", 0), ("split", 1)),
        *(("whole", 0), ("whole", 1)),
    ]


def test_deaths_are_worded() -> None:
    assert death(-9) == (
        "its process was killed by signal 9 (Killed), which is what the system does where memory runs out"
    )
    assert death(3) == "its process ended with code 3"
