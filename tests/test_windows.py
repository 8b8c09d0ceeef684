"""As on Windows: without what Unix alone has, every module is imported, and a table is learned from."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from test_imports import MODULES
from training_helpers import TINY, write_mixed_table

CODE = """
import importlib, multiprocessing, os, signal, sys

# What others import on first use looks for itself what the system has.
import torch, torch.utils.data, lightning.pytorch, torchmetrics.classification, tensorboard, matplotlib.figure
import numba.core.caching, pyarrow.csv, pyarrow.parquet, soundfile, PIL.Image, sklearn.base, typer, rich.console

for name in (
    *("fork", "forkpty", "register_at_fork", "getuid", "geteuid", "getgid", "getegid", "statvfs", "mkfifo", "killpg"),
    *("setsid", "nice", "sysconf", "uname", "sched_getaffinity", "getloadavg", "pread", "lchown", "chown", "fchmod"),
    *("O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_DIRECTORY"),
):
    if hasattr(os, name):
        delattr(os, name)
for name in ("fcntl", "resource", "pwd", "grp"):
    sys.modules[name] = None
"""


SIGNALS = """
for name in ("SIGKILL", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGHUP", "alarm", "setitimer", "pthread_sigmask"):
    if hasattr(signal, name):
        delattr(signal, name)
"""
"""Lightning goes by the system's name to know which there are, so not for training."""


def as_on_windows(code: str, folder: Path) -> str:
    (folder / "program.py").write_text(CODE + code)
    done = subprocess.run(
        [sys.executable, "program.py"], capture_output=True, text=True, cwd=folder, env={**os.environ}, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_is_imported(tmp_path: Path) -> None:
    optional = ("data.media.", "backends.triton_kernels")  # with libraries of their own
    names = [name for name in MODULES if not any(part in name for part in optional)]
    as_on_windows(f"{SIGNALS}for name in {names}:\n    importlib.import_module(name)\n", tmp_path)


@pytest.mark.nightly
def test_a_table_is_learned_from_with_processes_that_are_spawned(tmp_path: Path) -> None:
    table = write_mixed_table(tmp_path)
    code = f"""
if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    from perceiver_pytorch.tables import fit
    run = fit({str(table)!r}, "label", run="run", epochs=1, batch_size=8, num_workers=1, cache_mb=0, **{TINY})
    print(len(run.predict({str(table)!r}, workers=1)), sorted(os.listdir("run")))
"""
    said = as_on_windows(code, tmp_path)
    assert said.splitlines()[-1].startswith("48 ['checkpoints', 'config.json'")
