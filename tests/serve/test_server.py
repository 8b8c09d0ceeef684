"""A process under load is told to end: every request that reached it is answered, and it ends in order."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from perceiver_pytorch.serve.server import address_of, listen
from serve_helpers import ask

PROGRAM = """
import sys, time
sys.path.insert(0, {tests!r})
from perceiver_pytorch.serve.server import serve
from perceiver_pytorch.serve.settings import ServeSettings
from serve_helpers import Adding

class Slow(Adding):
    def answer(self, rows):
        time.sleep(0.05)
        return super().answer(rows)

serve(Slow(), ServeSettings(port=0, drain=10.0, max_batch=2), say=lambda text: print(text, flush=True))
print("ended", flush=True)
"""


@pytest.fixture
def process():
    program = PROGRAM.format(tests=str(Path(__file__).parents[1]))
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    line = process.stdout.readline()
    assert "serving adding at http://127.0.0.1:" in line, line + process.stderr.read()
    process.port = int(line.split(":")[2].split("/")[0])
    yield process
    process.kill()
    process.communicate()


def ask_until_it_ends(port, keep_alive, found):
    """Sends one request after another; notes each answer, and whether one was lost on its way."""
    body = json.dumps({"rows": [{"note": "abc"}]})
    ended = False
    while not ended:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.connect()
        except OSError:
            return  # nobody listens: nothing was sent
        with contextlib.closing(connection):
            kept = True
            while kept and not ended:
                try:
                    connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
                    response = connection.getresponse()
                    prediction = json.loads(response.read())["predictions"][0]["targets"]["sum"]["prediction"]
                    found.append(prediction == 3)
                    kept = keep_alive and response.getheader("connection") != "close"
                except (OSError, http.client.HTTPException) as error:
                    found.append(repr(error))
                    ended = True


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_no_request_is_lost_when_the_process_is_told_to_end_under_load(process, number):
    found: list[object] = []
    threads = [
        threading.Thread(target=ask_until_it_ends, args=(process.port, i % 2 == 0, found), daemon=True)
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    answered = len(found)
    os.kill(process.pid, number)
    for thread in threads:
        thread.join(20)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert out.endswith("ended\n")
    assert answered > 0
    assert len(found) > answered, "some were answered after it was told to end"
    assert set(found) == {True}
    assert "Traceback" not in err


def test_a_connection_that_has_begun_a_request_may_finish_it(process):
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n"
    with socket.create_connection(("127.0.0.1", process.port), timeout=20) as connection:
        connection.sendall(head[:20])
        # One that comes later is answered, so this one has been accepted.
        assert ask(f"http://127.0.0.1:{process.port}/health").status == 200
        os.kill(process.pid, signal.SIGTERM)
        time.sleep(0.3)
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", process.port), timeout=20)
        connection.sendall(head[20:] + b'{"rows": [{}]}')
        answer = connection.recv(10_000)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer.lower()
    assert process.wait(20) == 0


def test_a_port_that_is_taken_is_an_error_that_says_what_helps():
    with listen("127.0.0.1", 0) as listener:
        assert address_of(listener).startswith("http://127.0.0.1:")
        with pytest.raises(ValueError, match=r"cannot listen on 127.0.0.1, port \d+ .*--port 0 takes a port"):
            listen("127.0.0.1", listener.getsockname()[1])
    with pytest.raises(ValueError, match=r"cannot listen on no\.such\.host\.invalid"):
        listen("no.such.host.invalid", 0)
