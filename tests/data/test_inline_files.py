"""Files in texts: base64 and data URIs."""

import base64

import numpy as np
import pytest

from data_helpers import png, wav
from perceiver_pytorch.data.inline_files import inline_file, inline_media

PNG = png(np.arange(64, dtype=np.uint8).reshape(8, 8))
WAV = wav(np.zeros(100))
PLAIN = base64.b64encode(PNG).decode()


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.rstrip("="),
        base64.encodebytes(PNG).decode(),
        base64.urlsafe_b64encode(PNG).decode(),
        f"data:image/png;base64,{PLAIN}",
        f"DATA:;charset=utf-8;BASE64,{PLAIN}",
        "data:image/png," + "".join(f"%{byte:02x}" for byte in PNG),
    ],
)
def test_a_picture_in_a_text(text):
    assert inline_file(text) == PNG
    assert inline_media(text) == "image"


def test_a_sound_in_a_text():
    assert inline_media(base64.b64encode(WAV).decode()) == "audio"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pictures/1.png",
        "a sentence of letters alone that goes on and on until it is longer than any name of a file would ever be",
        "b" * 88,
        base64.b64encode(b"%PDF-1.4" + bytes(90)).decode(),
        PLAIN[:40],
        "data: 5 of 6",
    ],
)
def test_other_texts_hold_no_file(text):
    assert inline_file(text) is None
    assert inline_media(text) is None


def test_a_drawing_is_a_file_that_is_not_read():
    assert inline_media("data:image/svg+xml,%3Csvg%3E") == "other"
    assert inline_media("data:text/plain,words") is None


@pytest.mark.parametrize("text", [PLAIN[:100] + "*" + PLAIN[100:], f"data:image/png;base64,{PLAIN[:-10]}!"])
def test_damage_is_told(text):
    with pytest.raises(ValueError, match="holds base64 that is damaged"):
        inline_file(text)


def test_a_text_is_base64_from_64_signs_on():
    start = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(90)).decode()
    assert inline_media(start[:64]) == "image"
    assert inline_media(start[:63]) is None
    assert inline_file(start[:64]) == b"\x89PNG\r\n\x1a\n" + bytes(40)
    assert inline_media("\n".join(start)) == "image"
    assert inline_media(start[:96] + "*") == "image"  # which is told when it is read


def test_what_a_data_uri_says_and_holds():
    assert inline_media("data:image/png;base64,!!!!") == "other"
    assert inline_media("data:video/x,words") == inline_media("data:AUDIO/x,words") == "other"
    assert inline_media("data:,words") is inline_media("data:application/x,words") is None
    assert inline_file("data:,a%20b") == b"a b"
    assert inline_file("data:text/plain;base64,YWI") == b"ab"
    assert inline_file("data:text/plain;base64;x,YWI") == b"YWI"
