import math
import os
import socket

import pytest

from perceiver_pytorch import _files as files
from perceiver_pytorch._files import (
    FileRefusedError,
    check_regular,
    open_regular,
    read_regular,
    read_text,
    write_json,
    write_text,
    write_whole,
)

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes, sockets and devices among its files")


@pytest.fixture
def irregular(tmp_path, monkeypatch):
    """A file of each kind that is not regular: its name, and what it is."""
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    os.mkfifo("pipe")
    bound = socket.socket(socket.AF_UNIX)
    bound.bind("socket")
    yield {"pipe": "a pipe", "socket": "a socket", "/dev/zero": "a device", "/dev/null": "a device"}
    bound.close()


@posix
@pytest.mark.parametrize("read", [check_regular, open_regular, read_text])
def test_what_is_no_regular_file_is_refused_at_once(irregular, read):
    for name, what in irregular.items():
        with pytest.raises(FileRefusedError, match=f"{name}: must be a regular file, is {what}; save what it gives"):
            read(name)
    with pytest.raises(FileRefusedError, match="must be a file, is a folder"):
        read(".")


@posix
def test_a_pipe_that_takes_the_place_of_a_file_is_not_waited_for(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "file")
    monkeypatch.setattr(files, "check_regular", lambda path, most: 0)  # it was a file a moment ago
    with pytest.raises(FileRefusedError, match="is a pipe"):
        open_regular(tmp_path / "file")


def test_a_file_ends_where_it_ended_when_it_was_opened(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo\n")
    with path.open("ab", buffering=0) as writer, open_regular(path) as file:
        writer.write(b"three\n")
        assert file.name == str(path)
        assert file.read(5) == b"one\nt"
        assert file.read() == b"wo\n"
        assert file.read(1) == b""
        assert file.seek(0, os.SEEK_END) == 8
        assert file.seek(-4, os.SEEK_END) == 4
        assert list(file) == [b"two\n"]
        buffer = bytearray(20)
        assert file.seek(0) == 0
        assert file.readinto(buffer) == 8


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert read_regular(path, 3) == b"abc"
    with pytest.raises(FileRefusedError, match="file: must have at most 2 bytes, has 3") as caught:
        read_regular(path, 2)
    assert caught.value.strerror == "must have at most 2 bytes, has 3"


def test_text_is_utf8_with_any_line_ends(tmp_path):
    path = tmp_path / "file"
    path.write_bytes("é\r\nb\r".encode())
    assert read_text(path) == "é\nb\n"
    path.write_bytes(b"\xff")
    with pytest.raises(UnicodeDecodeError):
        read_text(path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def half(partial):
        partial.write_text("ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(path, half)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [1.0, {"b": math.nan}]}, r"a\.1\.b is nan, and JSON has finite numbers only"),
        (-math.inf, "the value is -inf"),
    ],
)
def test_numbers_that_are_not_finite_are_no_json(tmp_path, value, message):
    with pytest.raises(ValueError, match=message):
        write_json(tmp_path / "file.json", value)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"file\.txt cannot be written: there is no folder"):
        write_text(tmp_path / "gone" / "file.txt", "text")
    assert not list(tmp_path.iterdir())
