"""A server in a thread, what asks it, and a table with columns of most kinds."""

import contextlib
import csv
import http.client
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from perceiver_pytorch.data.cells import Where
from perceiver_pytorch.data.kinds.image import ImageSpec
from perceiver_pytorch.data.kinds.number import NumbersSpec
from perceiver_pytorch.data.kinds.text import TextSpec
from perceiver_pytorch.serve.served import ReadRow
from perceiver_pytorch.serve.server import address_of, listen, make_server
from perceiver_pytorch.serve.settings import ServeSettings


def write_served_table(folder: Path) -> Path:
    """The mixed table with dates, sets, series and point clouds, and a number as a second target."""
    from training_helpers import write_mixed_table  # here, since it loads all of training

    rng = np.random.default_rng(1)
    with write_mixed_table(folder, 30).open() as file:
        rows = list(csv.DictReader(file))
    for i, row in enumerate(rows):
        row["day"] = f"2020-{1 + i % 12:02}-{1 + i % 28:02}"
        row["tags"] = json.dumps([name for j, name in enumerate(("red", "green", "blue")) if (i >> j) & 1])
        row["curve"] = json.dumps(np.cumsum(rng.normal(size=(6, 2)), 0).round(3).tolist())
        row["cloud"] = json.dumps(rng.normal(size=(5, 3)).round(3).tolist())
        row["weight"] = f"{10 + 3 * rng.normal():.3f}"
    path = folder / "served.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


class Adding:
    """A model that adds a number and the length of a text, and may be made to wait or fail."""

    name = "adding"
    modalities = (
        NumbersSpec.fit("numbers", {"x": [1.0, 2.0, 3.0]}),
        TextSpec("note", 8),
        ImageSpec("picture", 4, 4, 1, 1),
    )
    targets: ClassVar[list[dict[str, str]]] = [{"name": "sum", "kind": "number", "note": "a number"}]

    def __init__(self) -> None:
        self.may_go = threading.Event()
        self.may_go.set()
        self.answered = 0

    def read(self, cells: dict[str, Any], where: Where) -> ReadRow:
        return ReadRow({modality.name: modality.encode(cells, where) for modality in self.modalities})

    def answer(self, rows: Sequence[ReadRow]) -> list[dict[str, Any]]:
        assert self.may_go.wait(30)
        self.answered += len(rows)
        return [{"targets": {"sum": {"kind": "number", "prediction": self._sum(row)}}} for row in rows]

    def maps(self, row: ReadRow, target: str, where: Where) -> list[dict[str, str]]:
        assert self.may_go.wait(30)
        return [{"modality": "note", "text": "a map", "kind": "image", "value": "data:image/png;base64,"}]

    def _sum(self, row: ReadRow) -> float:
        number, text = row.inputs["numbers"], row.inputs["note"]
        return (0.0 if number is None else float(number.values[0, 1])) + (0 if text is None else len(text.values))


@contextlib.contextmanager
def running(app: object, settings: ServeSettings) -> Iterator[str]:
    """The address of a server in a thread."""
    listener = listen("127.0.0.1", 0)
    server = make_server(app, settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield address_of(listener).removesuffix("/")
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def ask(url: str, body: object = None, *, method: str = "", headers: dict[str, str] | None = None) -> SimpleNamespace:
    """Sends a request: JSON values, or bytes as they are; gives status, headers, and the body, parsed if it is JSON."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    given = {} if body is None else {"Content-Type": "application/json"}
    with contextlib.closing(connection):
        connection.request(method or ("GET" if body is None else "POST"), parts.path, sent, given | (headers or {}))
        response = connection.getresponse()
        content = response.read()
    found = {name.lower(): value for name, value in response.getheaders()}
    is_json = found.get("content-type", "").startswith("application/json")
    return SimpleNamespace(
        status=response.status, headers=found, body=json.loads(content) if is_json and content else content
    )


def form(**parts: str | bytes) -> tuple[bytes, dict[str, str]]:
    """A body of multipart/form-data and its header: texts, and bytes as files."""
    lines = b""
    for name, value in parts.items():
        file = '; filename="f"' if isinstance(value, bytes) else ""
        content = value if isinstance(value, bytes) else value.encode()
        lines += f'--x\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"
    return lines + b"--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}
