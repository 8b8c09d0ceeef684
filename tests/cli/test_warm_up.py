"""``perceiver warm-up``."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from perceiver_pytorch.cli.warm_up import warm_up
from perceiver_pytorch.ops import warm_up as of_ops


def test_it_says_where_the_loops_are(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    monkeypatch.setattr(of_ops, "COMMON", ((torch.float32, 3, (4, 4)),))
    assert warm_up() == 0
    told = capsys.readouterr().out.splitlines()[-1]
    assert told.startswith("compiled loops are in ")
    assert list(Path(told.removeprefix("compiled loops are in ")).glob("backward-*.loop"))


def test_it_says_what_to_do_where_no_folder_takes_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_ops, "warm_up", lambda progress: None)
    assert warm_up() == 0
    assert "set NUMBA_CACHE_DIR" in capsys.readouterr().err


@pytest.mark.nightly
def test_a_second_command_finds_all_loops(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    code = "import sys; sys.argv = ['perceiver', 'warm-up']; from perceiver_pytorch.cli import main; main()"
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    written = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
        assert (done.returncode, done.stderr) == (0, "")
        written.append({path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.loop")})
    assert written[0] == written[1]
    assert len(written[0]) >= 10
