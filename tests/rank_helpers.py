"""Several processes that train together."""

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kill_helpers import FORK
from perceiver_pytorch.training.run.launching import environments


def in_ranks(world: int, *command: str, threads: int = 1) -> None:
    """Runs a program of the tests once in each rank, to its end."""
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environ = {**os.environ, "PERCEIVER_SHAPE_CHECKS": "0", "PYTHONPATH": os.pathsep.join(paths)}
    environ |= {"OMP_NUM_THREADS": str(threads)}
    ranks = [
        subprocess.Popen(
            [sys.executable, *command], env=each, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for each in environments(world, 1, environ)
    ]
    try:
        for rank in ranks:
            output, _ = rank.communicate(timeout=240)
            assert rank.returncode == 0, output
    finally:
        for rank in ranks:
            rank.kill()


def in_forked_ranks(world: int, act: Callable[..., None], *arguments: Any) -> None:
    """Calls a function once in each rank, in a copy of this process: to import what trains takes many seconds."""
    ranks = [FORK.Process(target=_as_rank, args=(each, act, *arguments)) for each in environments(world, 1, {})]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about forking where there are threads
        for rank in ranks:
            rank.start()
    try:
        for rank in ranks:
            rank.join(240)
            assert rank.exitcode == 0
    finally:
        for rank in ranks:
            rank.kill()


def _as_rank(environ: dict[str, str], act: Callable[..., None], *arguments: Any) -> None:
    warnings.simplefilter("ignore")  # as in a program of its own
    os.environ.update(environ)
    act(*arguments)
