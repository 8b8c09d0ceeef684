"""Programs in several processes that train together."""

import os
import subprocess
import sys
from pathlib import Path

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
