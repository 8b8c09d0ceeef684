"""Runs a worker and watches it: memory, time, how it ended."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks import memory
from benchmarks.peers import ROOT

LOOK_EVERY = 0.05  # seconds; a core writes perhaps half a gigabyte meanwhile
OUT_OF_MEMORY = "out of memory"


@dataclass(frozen=True)
class Limits:
    """What a worker may use.

    Args:
        threads: of PyTorch.
        memory: resident bytes; a worker that has more is ended.
        seconds: a worker that takes longer is ended.
    """

    threads: int
    memory: int
    seconds: float


@contextlib.contextmanager
def busy(cores: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Other processes that do nothing but keep cores busy, for the duration of the block."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores)]
    try:
        yield others
    finally:
        for other in others:
            other.kill()
            other.wait()


def run(job: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """The worker's answer to a job, or ``{"error": why there is none}``."""
    environment = os.environ | {"OMP_NUM_THREADS": str(limits.threads), "MKL_NUM_THREADS": str(limits.threads)}
    with (
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
        tempfile.TemporaryFile("w+") as job_file,
    ):
        json.dump({**job, "threads": limits.threads}, job_file)
        job_file.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"],
            stdin=job_file,
            stdout=out,
            stderr=err,
            cwd=ROOT,
            env=environment,
            start_new_session=True,  # an interrupt reaches the parent alone, which then ends the worker
        )
        try:
            reason = _watch(process, limits)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        return {"error": reason} if reason else _answer(process.returncode, _read(out), _read(err))


def _watch(process: subprocess.Popen, limits: Limits) -> str | None:
    """Waits for the end; why the worker has to be ended, or None."""
    start = time.monotonic()
    while True:
        try:
            process.wait(LOOK_EVERY)
            return None
        except subprocess.TimeoutExpired:
            if memory.resident(process.pid) > limits.memory:
                return f"{OUT_OF_MEMORY} (over {limits.memory / 1e9:.1f} GB)"
            if time.monotonic() - start > limits.seconds:
                return f"over the time limit of {limits.seconds:.0f} s"


def _answer(code: int, out: str, err: str) -> dict[str, Any]:
    if code == -signal.SIGKILL:
        return {"error": f"{OUT_OF_MEMORY} (ended by the system)"}
    lines = out.strip().splitlines()
    if code or not lines:
        last = (err.strip().splitlines() or ["no message"])[-1]
        return {"error": f"ended with code {code}: {last}"}
    return json.loads(lines[-1])


def _read(file: Any) -> str:
    file.seek(0)
    return file.read()
