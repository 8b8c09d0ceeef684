"""Small pictures for the report."""

import base64
import io

import numpy as np

from perceiver_pytorch.data import drawing


def content(uri):
    return io.BytesIO(base64.b64decode(uri.partition(",")[2]))


def test_pixels_and_values_are_png():
    from PIL import Image

    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert (np.asarray(Image.open(content(drawing.png(pixels)))) == pixels).all()
    heat = np.asarray(Image.open(content(drawing.heat_map(np.array([[-1.0, 0.0, 1.0]])))))
    assert heat.tolist() == [[0, 128, 255]]


def test_sound_is_a_wav_file():
    import soundfile

    sound, rate = soundfile.read(content(drawing.wav(np.array([[0.5], [-2.0]]), 8000)))
    assert rate == 8000
    np.testing.assert_allclose(sound, [0.5, -1], atol=1e-4)


def test_lines_have_gaps_where_values_are_missing():
    values = np.array([[0.0, 1.0], [np.nan, 2.0], [1.0, 3.0]])
    assert drawing.lines(np.arange(3.0), values).count("<polyline") == 3
    many = drawing.lines(np.arange(1000.0), np.zeros((1000, 1)))
    assert many.count(",") <= drawing.MAX_STEPS


def test_points_are_seen_from_the_front_and_the_side():
    assert drawing.dots(np.zeros((5, 1))).count("<circle") == 5
    assert drawing.dots(np.zeros((5, 3))).count("<circle") == 10
