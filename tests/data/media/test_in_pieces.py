"""Files that are decoded piece by piece give what they give whole."""

import os

import numpy as np
import pytest

from data_helpers import shades, video, wav
from perceiver_pytorch.data.media import decoder, decoding
from perceiver_pytorch.data.media.fitting import Box
from perceiver_pytorch.data.media.in_pieces import FramesReading, GoneError, OpenFiles

BOX = Box(16, 16, "pad")
SOUND = wav((np.random.default_rng(0).normal(0, 0.2, 9000) * 32000).astype(np.int16), rate=8000)


@pytest.fixture(scope="module")
def film():
    return video(list(shades(23)), rate=10)


def killed():
    decoder._DECODERS[os.getpid()]._process.kill()


@pytest.mark.parametrize("size", [1, 5, 23, 100])
@pytest.mark.parametrize("rate", [10, 6.25])
def test_frames_in_pieces_are_those_of_the_film(film, rate, size):
    whole = decoding.video(film, rate, 1000, BOX)
    pieces = decoding.frames(film, rate, 1000, BOX, size)
    found = list(pieces)
    assert [len(piece) for piece in found[:-1]] == [size] * (len(found) - 1)
    np.testing.assert_array_equal(np.concatenate(found), whole.frames)
    assert pieces.facts == {"count": len(whole.frames), "size": [32, 48], "longer": False}
    assert decoding.video_through(film, rate, 1000) == pieces.facts


def test_frames_end_where_no_more_are_wanted(film, tmp_path):
    (tmp_path / "film.mp4").write_bytes(film)
    pieces = decoding.frames(tmp_path / "film.mp4", 10, 12, BOX, 5)
    np.testing.assert_array_equal(np.concatenate(list(pieces)), decoding.video(film, 10, 12, BOX).frames)
    assert pieces.facts["longer"]


@pytest.mark.parametrize("size", [700, 4000, 100_000])
@pytest.mark.parametrize("rate", [8000, 5000, 16000])
def test_samples_in_pieces_are_those_of_the_sound(rate, size):
    whole = decoding.audio(SOUND, rate, 1 << 20, 1)
    pieces = decoding.samples(SOUND, rate, 1 << 20, 1, size)
    found = list(pieces)
    assert all(len(piece) == size for piece in found[:-1])
    np.testing.assert_allclose(np.concatenate(found), whole.samples, rtol=0, atol=1e-6)
    assert pieces.facts["count"] == len(whole.samples)
    assert pieces.facts["loudest"] == pytest.approx(float(np.abs(whole.samples).max()), abs=1e-6)
    assert (pieces.facts["longer"], pieces.facts["incomplete"]) == (False, False)


def test_samples_of_a_films_track_end_where_no_more_are_wanted():
    film = video(list(shades(20)), rate=10, sound=np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32))
    whole = decoding.audio(film, 8000, 9000, 2)
    pieces = decoding.samples(film, 8000, 9000, 2, 4000)
    np.testing.assert_allclose(np.concatenate(list(pieces)), whole.samples, rtol=0, atol=1e-6)
    assert (pieces.facts["longer"], whole.longer) == (True, True)


def test_who_lost_the_process_goes_on_where_it_was(film):
    whole = decoding.video(film, 10, 1000, BOX).frames
    found = []
    for piece in decoding.frames(film, 10, 1000, BOX, 4):
        found.append(piece)
        if len(found) in (1, 3):
            killed()
    np.testing.assert_array_equal(np.concatenate(found), whole)


def test_several_are_read_at_a_time(film):
    readings = [
        iter(decoding.frames(film, 10, 1000, BOX, 7)) for _ in range(OpenFiles().most + 2)
    ]  # more than stay open
    rounds = list(zip(*readings, strict=True))
    for each in zip(*rounds, strict=True):
        np.testing.assert_array_equal(np.concatenate(each), decoding.video(film, 10, 1000, BOX).frames)


def test_as_many_stay_open_as_threads_may_read(film, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 12)
    files, begun = OpenFiles(), []

    def take(number, start):
        def begin():
            begun.append(number)
            return FramesReading(film, 1 << 28, None, rate=10, max_frames=1000)

        files.piece(number, start, 2, begin)

    for start in (0, 2):
        for number in range(24):
            take(number, start)
    assert begun == list(range(24))
    take(24, 0)
    take(0, 4)  # which had to make room
    assert begun[24:] == [24, 0]


def test_bytes_are_sent_once(film, monkeypatch):
    sent = []
    real = decoding._decode
    monkeypatch.setattr(
        decoding, "_decode", lambda task, source, *rest: sent.append(source) or real(task, source, *rest)
    )
    list(decoding.frames(film, 10, 1000, BOX, 6))
    assert sent == [film, b"", b"", b""]


def test_what_is_no_film_says_so():
    with pytest.raises(ValueError, match="the video cannot be decoded"):
        list(decoding.frames(b"no film", 10, 1000, BOX, 5))
    with pytest.raises(GoneError):
        OpenFiles().piece(1, 5, 5, None)


def test_a_reading_knows_where_it_is(film):
    reading = FramesReading(film, 1 << 28, None, rate=10, max_frames=1000)
    reading.skip(17, 4)
    assert reading.position == 17
    assert len(reading.take(100)) == 6


def test_a_reading_that_is_left_is_closed(film):
    """With the next request; others stay open."""
    kept, left = (iter(decoding.frames(film, 10, 1000, BOX, 5)) for _ in range(2))
    next(kept)
    before = next(decoding._READINGS)
    next(left)
    left.close()
    box = {"rate": 10, "max_frames": 1000, "box": vars(BOX)}
    with pytest.raises(GoneError):
        decoding._decode("video piece", b"", 1 << 28, {**box, "number": before + 1, "start": 5, "count": 5}, 1 << 20)
    assert not decoding._LEFT
    assert len(list(kept)) == 4
