"""Starts the ranks of this machine, and ends all of them when one ends badly."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import IO

from perceiver_pytorch._memory import usable_cores
from perceiver_pytorch.training.run.interrupts import handling

GONE = 75
"""What a rank exits with because another one has ended."""
STARTED_BY = "PERCEIVER_STARTED_BY"
"""The process that started this rank, whose end is this one's."""
_LOOK = 0.1
_GRACE = 20.0  # seconds in which the others notice by themselves that one has ended
_LAST = 5.0  # seconds between asking them to end and ending them
_TOLD = 4000  # characters of what a rank wrote, at most


@dataclass(frozen=True)
class Failure:
    """The rank that ended first, and badly.

    Attributes:
        rank: its number.
        pid: of its process.
        code: its exit code; below 0 the number of a signal.
        told: the end of what it wrote to its error stream; empty for the first rank, which writes to this one's.
    """

    rank: int
    pid: int
    code: int
    told: str

    def __str__(self) -> str:
        if self.code >= 0:
            return f"rank {self.rank} (process {self.pid}) has failed"
        with suppress(ValueError):
            name = signal.Signals(-self.code).name
            return f"rank {self.rank} (process {self.pid}) was killed by signal {-self.code}, {name}"
        return f"rank {self.rank} (process {self.pid}) was killed by signal {-self.code}"


def environments(devices: int, nodes: int, environ: Mapping[str, str] = os.environ) -> list[dict[str, str]]:
    """The environment of each rank of this machine, in torchrun's words.

    Raises:
        ValueError: if there are several machines, and nothing says how they find each other.
    """
    needed = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")
    if nodes > 1 and (missing := [name for name in needed if name not in environ]):
        raise ValueError(
            f"--nodes {nodes} needs {', '.join(missing)} in the environment of each machine: where the first one is "
            "found, and the number of this one, from 0; or start the command by torchrun or srun, which set them"
        )
    node = int(environ["NODE_RANK"]) if nodes > 1 else 0
    address = {name: environ[name] for name in needed[:2]} if nodes > 1 else _here()
    threads = {"OMP_NUM_THREADS": str(max(1, usable_cores() // devices))} if "OMP_NUM_THREADS" not in environ else {}
    quiet = {"TORCH_CPP_LOG_LEVEL": environ.get("TORCH_CPP_LOG_LEVEL", "ERROR")}
    common = {**environ, **address, **threads, **quiet, STARTED_BY: str(os.getpid())}
    return [
        common
        | {
            "RANK": str(node * devices + local),
            "WORLD_SIZE": str(nodes * devices),
            "LOCAL_RANK": str(local),
            "LOCAL_WORLD_SIZE": str(devices),
            "GROUP_RANK": str(node),
        }
        for local in range(devices)
    ]


def run_ranks(command: Sequence[str], each: Sequence[dict[str, str]]) -> tuple[int, Failure | None]:
    """Runs a command once in each environment; Ctrl-C and SIGTERM go on to all.

    The first of them has this process' streams. What the others print is left out.

    Returns:
        The exit code of the first rank, or of the one that failed; and which failed, unless the first one says why.
    """
    with ExitStack() as stack:
        errors = [stack.enter_context(tempfile.TemporaryFile()) for _ in each]
        ranks = [_started(command, environment, error) for environment, error in zip(each, errors, strict=True)]
        stack.callback(_end, ranks)

        def hand_on(number: int, _: object) -> None:
            for process in ranks:
                with suppress(ProcessLookupError):
                    process.send_signal(number)

        with handling(hand_on):
            failed = _watched(ranks)
        if failed is None:
            return ranks[0].returncode, None
        told = "" if failed == 0 else _tail(errors[failed])
        failure = Failure(int(each[failed]["RANK"]), ranks[failed].pid, ranks[failed].returncode, told)
    speaks_itself = failed == 0 and failure.code > 0
    return (failure.code if failure.code > 0 else 2), None if speaks_itself else failure


def _here() -> dict[str, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}


def _started(command: Sequence[str], environment: dict[str, str], error: IO[bytes]) -> subprocess.Popen[bytes]:
    first = environment["LOCAL_RANK"] == "0"
    return subprocess.Popen(
        command,
        env=environment,
        stdin=None if first else subprocess.DEVNULL,
        stdout=None if first else subprocess.DEVNULL,
        stderr=None if first else error,
        start_new_session=sys.platform != "win32",  # a terminal's Ctrl-C comes once, from here
    )


def _watched(ranks: Sequence[subprocess.Popen[bytes]]) -> int | None:
    """Waits for the end of all; the place of the one that ended first and badly, if one did.

    One that ended because another had is not the first, whatever was noticed first.
    """
    bad: list[int] = []
    until = float("inf")
    while any(process.poll() is None for process in ranks):
        time.sleep(_LOOK)
        bad += [i for i, process in enumerate(ranks) if i not in bad and process.poll() not in (None, 0, 130)]
        if bad:
            until = min(until, time.monotonic() + _GRACE)
        if time.monotonic() > until:
            _end(ranks)
    bad += [i for i, process in enumerate(ranks) if i not in bad and process.returncode not in (0, 130)]
    causes = [i for i in bad if ranks[i].returncode != GONE]
    return next(iter(causes or bad), None)


def _end(ranks: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ends those that are left: politely, then at once."""
    left = [process for process in ranks if process.poll() is None]
    for process in left:
        process.terminate()
    until = time.monotonic() + _LAST
    for process in left:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _tail(error: IO[bytes]) -> str:
    error.seek(0)
    return error.read().decode(errors="replace").strip()[-_TOLD:]
