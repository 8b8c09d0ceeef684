"""What is said between processes arrives as it was, or not at all."""

import os
from io import FileIO

import pytest

from perceiver_pytorch.data.media import messages


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    with FileIO(reader, "r") as inlet, FileIO(writer, "w") as outlet:
        yield inlet, outlet


def test_messages_arrive_one_by_one(pipe):
    inlet, outlet = pipe
    messages.send(outlet, {"path": "a\udcff\n"}, b"12")
    messages.send(outlet, {"seconds": float("inf")})
    assert messages.receive(inlet, 2) == ({"path": "a\udcff\n"}, b"12")
    assert messages.receive(inlet, 0) == ({"seconds": float("inf")}, b"")


def test_an_end_is_told(pipe):
    inlet, outlet = pipe
    outlet.write(b"\5\0")
    outlet.close()
    with pytest.raises(EOFError):
        messages.receive(inlet, 9)


@pytest.mark.parametrize("said", [b"\xff" * 12, b"\2\0\0\0\3\0\0\0\0\0\0\0{}abc", b"\2\0\0\0\0\0\0\0\0\0\0\0[]"])
def test_what_is_no_message_is_refused_before_memory_is_taken(pipe, said):
    inlet, outlet = pipe
    outlet.write(said)
    with pytest.raises(ValueError, match="a message"):
        messages.receive(inlet, 2)


def test_the_json_of_a_message_is_no_longer_than_a_megabyte(pipe):
    inlet, outlet = pipe
    outlet.write((1 << 20).to_bytes(4, "little") + bytes(8))
    outlet.close()
    with pytest.raises(EOFError):  # its text is waited for
        messages.receive(inlet, 0)


def test_longer_json_is_refused(pipe):
    inlet, outlet = pipe
    outlet.write(((1 << 20) + 1).to_bytes(4, "little") + bytes(8))
    with pytest.raises(ValueError, match=r"^a message of 1048577 bytes$"):
        messages.receive(inlet, 0)


def test_more_data_than_was_asked_for_is_refused(pipe):
    inlet, outlet = pipe
    messages.send(outlet, {}, b"123")
    with pytest.raises(ValueError, match=r"^a message of 5 bytes$"):
        messages.receive(inlet, 2)
