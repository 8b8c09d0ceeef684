"""A server of a run under load: python -m benchmarks.serving RUN

Prints requests per second, the times of half and of 99 of 100 requests, and the server's memory on the way, with and
without batching; and that requests that are wrong are refused with a sentence. ``--requests 100000`` is the long form,
which shows whether memory stays: in the first tenth libraries load and threads get memory of their own, and what still
grows after the half may grow for ever.
"""

import argparse
import asyncio
import json
import random
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe
from benchmarks.memory import resident_with_children

PARTS = 20
"""How often memory is looked at."""
HEADER = (
    "| | requests/s | p50 (ms) | p99 (ms) | MB after a tenth | MB at half | MB at the end "
    "| bytes per request after half |"
    "\n|---|---|---|---|---|---|---|---|"
)


@dataclass
class Measured:
    """What came of a mode.

    Attributes:
        seconds: of each request.
        wall: of all.
        memory: bytes that the server and its processes have resident, after each part of the requests.
        statuses: {status: how often}.
    """

    seconds: list[float] = field(default_factory=list)
    wall: float = 0.0
    memory: list[int] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    @property
    def growth(self) -> float:
        """Bytes per request in the second half: the slope of a line through what was resident."""
        later = self.memory[len(self.memory) // 2 - 1 :]
        requests = np.arange(len(later)) * len(self.seconds) / len(self.memory)
        return float(np.polyfit(requests, later, 1)[0])

    def as_json(self) -> dict[str, Any]:
        """What there is to keep."""
        half, most = np.quantile(self.seconds, [0.5, 0.99]) * 1000
        return {
            "requests": len(self.seconds),
            "requests_per_second": len(self.seconds) / self.wall,
            "p50_ms": half,
            "p99_ms": most,
            "resident_bytes": self.memory,
            "bytes_per_request_after_half": self.growth,
            "statuses": self.statuses,
        }

    def row(self, mode: str) -> str:
        """A row of the table."""
        told, count = self.as_json(), len(self.memory)
        memory = (self.memory[at - 1] / 1e6 for at in (count // 10, count // 2, count))
        cells = [f"{told['requests_per_second']:,.0f}", f"{told['p50_ms']:.1f}", f"{told['p99_ms']:.1f}"]
        return " | ".join([f"| {mode}", *cells, *(f"{each:,.1f}" for each in memory), f"{self.growth:+.1f} |"])


class Server:
    """``perceiver serve`` in a process of its own."""

    def __init__(self, run: Path, options: list[str]) -> None:
        code = "from perceiver_pytorch.cli import main; main()"
        command = [sys.executable, "-c", code, "serve", str(run), "--port=0", "--max-requests=1000", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        found = re.search(r"http://([^:]+):(\d+)/", self.process.stdout.readline())
        if found is None:
            raise SystemExit("the server did not start")
        self.place = found[1], int(found[2])

    def end(self) -> None:
        """Ends it as an operator would, and checks that it does so in order."""
        self.process.terminate()
        if self.process.wait(60) != 0:
            raise SystemExit(f"the server ended with status {self.process.returncode}")


class Client:
    """One connection that is kept open."""

    def __init__(self, place: tuple[str, int]) -> None:
        self._place = place
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> tuple[int, bytes]:
        """Status and body of an answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._place)
        reader, writer = self._streams
        lines = [
            f"{method} {path} HTTP/1.1",
            "Host: localhost",
            f"Content-Type: {kind}",
            f"Content-Length: {len(body)}",
        ]
        writer.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode() + body)
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(re.search(r"content-length: (\d+)", head)[1])  # type: ignore[index]
        answer = await reader.readexactly(length)
        if "connection: close" in head:
            self.close()
        return int(head.split()[1]), answer

    def close(self) -> None:
        """Ends the connection; the next request opens another."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


async def bodies(place: tuple[str, int]) -> list[bytes]:
    """Requests with the rows that the server offers, or with the examples of its fields."""
    client = Client(place)
    spec = json.loads((await client.ask("GET", "/spec"))[1])
    rows = [json.loads((await client.ask("GET", f"/examples/{i}"))[1])["row"] for i in range(spec["examples"])]
    rows = rows or [{each["column"]: each["example"] for each in spec["fields"] if each["example"] is not None}]
    client.close()
    return [json.dumps({"rows": [row]}).encode() for row in rows]


async def load(server: Server, requests: int, connections: int) -> Measured:
    """Sends requests over some connections, each as soon as the one before is answered."""
    sent, measured = await bodies(server.place), Measured()
    left = iter(range(requests))

    async def work() -> None:
        client = Client(server.place)
        for number in left:
            began = time.monotonic()
            status, answer = await client.ask("POST", "/predict", sent[number % len(sent)])
            measured.seconds.append(time.monotonic() - began)
            measured.statuses[status] = measured.statuses.get(status, 0) + 1
            if status != 200:
                raise SystemExit(f"status {status}: {answer[:300]!r}")
            if (len(measured.seconds) * PARTS) // requests > len(measured.memory):
                measured.memory.append(resident_with_children(server.process.pid))
        client.close()

    began = time.monotonic()
    await asyncio.gather(*(work() for _ in range(connections)))
    measured.wall = time.monotonic() - began
    return measured


def wrong(body: bytes, drawn: random.Random) -> tuple[bytes, str]:
    """A request that cannot be answered, and its content type: a right one damaged, or other bytes."""
    row = json.loads(body)["rows"][0]
    name = drawn.choice(list(row))
    odd: list[Any] = ["/etc/passwd", "http://127.0.0.1/", {"path": "x"}, [[[[1]]]], "\ud800", {}, "A" * 80]
    choices = [
        (body[: drawn.randrange(1, len(body))], "application/json"),
        (bytes(drawn.randrange(256) for _ in range(50)), "application/json"),
        (json.dumps({"rows": [{**row, name + "?": 1}]}).encode(), "application/json"),
        (json.dumps({"rows": [{**row, name: drawn.choice(odd[:4])}], "without": ["?"]}).encode(), "application/json"),
        (json.dumps({"rows": [drawn.choice(odd)] * drawn.randrange(3), "more": 1}).encode(), "application/json"),
        (json.dumps({"rows": []}).encode(), "application/json"),
        (body, drawn.choice(["text/plain", "", "application/xml"])),
        (body, "multipart/form-data; boundary=x"),
    ]
    return drawn.choice(choices)


async def refusals(server: Server, requests: int) -> dict[int, int]:
    """Sends requests that are wrong; each must get a status of 4xx and a sentence."""
    sent, client, drawn = await bodies(server.place), Client(server.place), random.Random(0)
    found: dict[int, int] = {}
    for number in range(requests):
        body, kind = wrong(sent[number % len(sent)], drawn)
        status, answer = await client.ask("POST", "/predict", body, kind)
        found[status] = found.get(status, 0) + 1
        if not 400 <= status < 500 or len(json.loads(answer)["error"]) < 10:
            raise SystemExit(f"{body[:200]!r} ({kind}) got {status}: {answer[:300]!r}")
    client.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="run folder, such as one of `perceiver fit digits`")
    parser.add_argument("--requests", type=int, default=5000, help="of each mode; 100000 shows that memory stays")
    parser.add_argument("--max-batch", type=int, nargs="+", default=[1, 32], help="rows of a batch, of each mode")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--wrong", type=int, default=1000, help="requests that are wrong")
    parser.add_argument("--output", type=Path, help="JSON file with all of it")
    asked = parser.parse_args()
    machine = describe(1)
    found: dict[str, Any] = {}
    print(", ".join(f"{name}: {machine[name]}" for name in ("processor", "cores", "torch", "commit")))
    print(f"{asked.requests:,} requests of one row, {asked.connections} connections\n")
    print(HEADER)
    for most in asked.max_batch:
        mode = f"batches of up to {most}" if most > 1 else "no batching"
        server = Server(asked.run, [f"--max-batch={most}"])
        asyncio.run(load(server, max(50, asked.connections), asked.connections))  # the first ones load libraries
        measured = asyncio.run(load(server, asked.requests, asked.connections))
        found[mode] = measured.as_json()
        print(measured.row(mode), flush=True)
        told = asyncio.run(refusals(server, asked.wrong)) if most is asked.max_batch[-1] else {}
        server.end()
    print(f"\n{asked.wrong:,} wrong requests, all refused with a sentence: {dict(sorted(told.items()))}")
    if asked.output is not None:
        asked.output.write_text(json.dumps({"machine": machine, "modes": found, "wrong": told}, indent=1) + "\n")


if __name__ == "__main__":
    main()
