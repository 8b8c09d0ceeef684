"""Limits: what is too large, too long, too slow or too much is refused with a sentence, and the server goes on."""

import base64
import io
import socket
import struct
import threading
import time
import urllib.parse
import zlib

import numpy as np
import pytest
from PIL import Image

from data_helpers import wav
from perceiver_pytorch.data import AudioSpec
from serve_helpers import Adding, ask, form


def png(width, height):
    buffer = io.BytesIO()
    Image.new("L", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def bomb(width, height):
    """A PNG file of a few bytes that claims so many pixels."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def base(data):
    return base64.b64encode(data).decode()


def test_a_request_that_is_too_large_is_refused_before_it_is_read(serving):
    address = serving(Adding(), max_mb=0.1)
    large = b'{"rows": [{"note": "' + b"x" * 200_000 + b'"}]}'
    answer = ask(f"{address}/predict", large)
    assert answer.status == 413
    assert answer.body["error"].startswith("the request is larger than 0.1 MB")
    body, headers = form(note=b"x" * 200_000)
    assert ask(f"{address}/predict", body, headers=headers).status == 413
    assert ask(f"{address}/predict", {"rows": [{"note": "y"}]}).status == 200


def test_a_cell_that_is_read_in_pieces_is_refused(serving):
    """They would be decoded later, without limits, and hold up everyone."""

    class Listening(Adding):
        modalities = (*Adding.modalities, AudioSpec("sound", 8000, 8000, 100, stream_samples=2000))

    address = serving(Listening())
    short, long = ({"x": 1, "sound": base(wav(np.ones(count)))} for count in (1900, 2100))
    assert ask(f"{address}/predict", {"rows": [short]}).status == 200
    answer = ask(f"{address}/predict", {"rows": [short, long]})
    assert answer.status == 422
    assert answer.body["error"].startswith(
        "row 1, column 'sound': is too long for memory, and a server reads no pieces"
    )


def test_a_large_request_of_unknown_length_is_refused_on_the_way(serving):
    address = serving(Adding(), max_mb=0.1)
    with raw(address) as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
            + b"10000\r\n"
            + b"x" * 0x10000
            + b"\r\n10000\r\n"
            + b"x" * 0x10000
            + b"\r\n"
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")


def raw(address):
    parts = urllib.parse.urlsplit(address)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (png(30, 20), r"the image has 30x20 pixels, and 500 in all is the most"),
        (bomb(40_000, 40_000), r"the image has 40000x40000 pixels, and 500 in all is the most"),
        (bomb(2, 2)[:30], r"the image cannot be decoded"),
    ],
)
def test_pictures_with_too_many_pixels_and_bombs_are_refused(serving, cell, message):
    address = serving(Adding(), max_pixels=500)
    answer = ask(f"{address}/predict", {"rows": [{"picture": base(cell)}]})
    assert answer.status == 422
    assert message in answer.body["error"]
    assert ask(f"{address}/predict", {"rows": [{"picture": base(png(20, 20))}]}).status == 200


def test_a_bomb_that_fits_the_pixels_is_refused_by_its_memory(serving):
    address = serving(Adding(), max_pixels=10**9, cell_mb=16)
    answer = ask(f"{address}/predict", {"rows": [{"picture": base(bomb(20_000, 20_000))}]})
    assert answer.status == 422
    assert "memory" in answer.body["error"]


def test_texts_rows_and_numbers_have_limits(serving):
    address = serving(Adding(), max_text=10, max_rows=2)
    for rows, message in (
        ([{"note": "x" * 11}], "has 11 characters, and 10 is the most"),
        ([{"x": "1" * 11}], "has 11 characters"),
        ([{}, {}, {}], "must be 1 to 2 rows, got 3"),
    ):
        answer = ask(f"{address}/predict", {"rows": rows})
        assert answer.status == 422
        assert message in answer.body["error"]


def test_a_request_that_does_not_arrive_in_time_is_ended(serving):
    address = serving(Adding(), timeout=0.3)
    with raw(address) as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 408")
    assert ask(f"{address}/predict", {"rows": [{}]}).status == 200


def test_an_answer_that_takes_too_long_is_given_up_and_its_rows_are_not_computed_later(serving):
    served = Adding()
    address = serving(served, timeout=0.3, max_batch=1)
    served.may_go.clear()
    answers = [ask(f"{address}/predict", {"rows": [{"x": 1}, {"x": 2}, {"x": 3}]})]
    assert answers[0].status == 504
    assert "not ready within 0.3 s" in answers[0].body["error"]
    served.may_go.set()
    assert ask(f"{address}/predict", {"rows": [{"x": 2}]}).status == 200
    assert served.answered == 2, "the row that had begun, and the new one"


def test_more_requests_than_may_be_at_work_are_told_to_come_back(serving):
    served = Adding()
    address = serving(served, max_requests=2)
    served.may_go.clear()
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(ask(f"{address}/predict", {"rows": [{"x": 1}]}))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 30
    while "perceiver_requests_at_work 3.0" not in ask(f"{address}/metrics").body.decode():  # this one is the third
        assert time.monotonic() < until
    answer = ask(f"{address}/predict", {"rows": [{}]})
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.body["error"] == "2 requests are at work, which is the most; try again in a moment"
    assert ask(f"{address}/health").status == 200
    served.may_go.set()
    for thread in threads:
        thread.join(20)
    assert [answer.status for answer in found] == [200, 200]
    assert ask(f"{address}/predict", {"rows": [{}]}).status == 200


def test_a_row_that_the_model_has_no_answer_to_does_not_harm_the_others(serving):
    class Picky(Adding):
        def answer(self, rows):
            if any(row.inputs["note"] is None for row in rows):
                raise ValueError("the model's outputs are not finite numbers")
            return super().answer(rows)

    served = Picky()
    address = serving(served)
    served.may_go.clear()
    found = {}

    def send(row):
        found[row] = ask(f"{address}/predict", {"rows": [{"note": row}]})

    threads = [threading.Thread(target=send, args=(row,)) for row in ("a", "", "bc")]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    served.may_go.set()
    for thread in threads:
        thread.join(20)
    assert {row: answer.status for row, answer in found.items()} == {"a": 200, "": 422, "bc": 200}
    assert found["bc"].body["predictions"][0]["targets"]["sum"]["prediction"] == 2
    assert "not finite" in found[""].body["error"]


def test_answers_are_right_under_load_from_many_threads(serving):
    address = serving(Adding(), max_batch=4)
    notes = ["".join(np.random.default_rng(i).choice(list("abc"), i % 8)) for i in range(60)]
    answers = {}

    def send(i):
        answers[i] = ask(f"{address}/predict", {"rows": [{"note": notes[i]}]})

    threads = [threading.Thread(target=send, args=(i,)) for i in range(len(notes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for i, note in enumerate(notes):
        assert answers[i].body["predictions"][0]["targets"]["sum"]["prediction"] == len(note)


def test_an_answer_without_its_map_is_better_than_none(serving, caplog):
    class Blind(Adding):
        def maps(self, row, target, where):
            raise RuntimeError("no gradient")

    answer = ask(f"{serving(Blind())}/explain", {"rows": [{"x": 1}]})
    assert answer.status == 200
    assert answer.body["maps"] == {"sum": []}
    assert "no map of sum can be made" in caplog.text
