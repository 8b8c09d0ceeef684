"""A real S3 server on this machine: moto's, installed into a folder of its own.

Its libraries ask for older versions of some of ours, so it never shares an environment with them.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from release import install_packages

VERSION = "5.2.5"
FOLDER = Path(__file__).parent.parent / ".peers" / f"moto-{VERSION}"
BUCKET = "bucket"
_SERVE = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(*server.get_host_and_port(), flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Server:
    """The server.

    Attributes:
        address: of the server, with http://.
        files: what it holds.
    """

    address: str
    files: Any

    def put(self, key: str, data: bytes) -> str:
        """The address of a new object in the bucket."""
        with self.files.open_output_stream(f"{BUCKET}/{key}", compression=None) as file:
            file.write(data)
        return f"s3://{BUCKET}/{key}"

    @property
    def environment(self) -> dict[str, str]:
        """What makes everybody ask it."""
        return {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }


@contextmanager
def serving() -> Iterator[Server]:
    """A server with an empty bucket."""
    install_packages([f"moto=={VERSION}", "flask", "flask-cors", "py-partiql-parser", "PyYAML"], FOLDER, "moto")
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE],
        env={**os.environ, "PYTHONPATH": str(FOLDER)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    import pyarrow.fs as arrow_fs

    try:
        host, port = process.stdout.readline().split()
        files = arrow_fs.S3FileSystem(
            access_key="key",
            secret_key="secret",
            region="us-east-1",
            endpoint_override=f"{host}:{port}",
            scheme="http",
            allow_bucket_creation=True,
        )
        files.create_dir(BUCKET)
        yield Server(f"http://{host}:{port}", files)
    finally:
        process.kill()  # it has nothing to lose, and a fork of this process may hold the end of the pipe that it reads
        process.wait()
        process.stdin.close()
        process.stdout.close()


@pytest.fixture(scope="session")
def _server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def s3(_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Server:
    """The server, which this test's process asks; the cache of files from there is empty."""
    for name, value in _server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PERCEIVER_CACHE", str(tmp_path / "cache"))
    return _server
