"""What is asked of the process that decodes."""

import os
from pathlib import Path

import numpy as np
import pytest

from data_helpers import png, wav
from perceiver_pytorch.data import DataError, ImageSpec, Where
from perceiver_pytorch.data.media import decoder, decoding
from perceiver_pytorch.data.media.fitting import Box

PICTURE = png(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))


def test_bytes_of_a_file_count_too():
    with pytest.raises(
        ValueError, match=r"the sound takes 1 MB of memory to decode \(its file has .* bytes\).*1 allows"
    ):
        decoding.audio(wav(np.zeros(9000)), 8000, 8, 1, most=9000)
    with pytest.raises(DataError, match=r"row 3, column 'x': .*--cell-mb"):
        ImageSpec("x", 8, 8, 3, 1).encode({"x": PICTURE}, Where("here", Path(), 3, cell_bytes=10))


def test_what_is_asked_for_says_how_much_may_come_back(monkeypatch):
    heads = []

    class Decoder:
        def ask(self, head, data):
            heads.append((head, data))
            return {"error": "ImportError", "message": "stop"}, bytearray()

    monkeypatch.setitem(decoder._DECODERS, os.getpid(), Decoder())
    tasks = [
        (lambda: decoding.image(b"12", Box(4, 5, "pad"), 3, 99), ("image", "the image", 60, 120.0)),
        (lambda: decoding.image_facts(Path("a.png")), ("image facts", "the image", 0, 120.0)),
        (lambda: decoding.audio(b"1", 10, 30, 2), ("audio", "the sound", 240, 180.0)),
        (lambda: decoding.audio_facts(b"1"), ("audio facts", "the sound", 0, 120.0)),
        (lambda: decoding.video(b"1", 5.0, 10, Box(4, 5, "pad")), ("video", "the video", 600, 160.0)),
        (lambda: decoding.video_facts(b"1"), ("video facts", "the video", 0, 120.0)),
    ]
    for ask, expected in tasks:
        with pytest.raises(ImportError, match="stop"):
            ask()
        head, _ = heads[-1]
        assert tuple(head[name] for name in ("task", "what", "result", "seconds")) == expected
    assert (heads[0][0]["most"], heads[0][0]["path"], heads[0][1]) == (99, None, b"12")
    assert (heads[1][0]["path"], heads[1][1], heads[1][0]["most"]) == (os.path.abspath("a.png"), b"", 512 << 20)
    assert heads[0][0]["arguments"] == {"box": vars(Box(4, 5, "pad")), "colors": 3, "white": 65535}
    assert heads[4][0]["arguments"]["by_last_frame"] is True
