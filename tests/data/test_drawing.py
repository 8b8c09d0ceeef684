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


def test_frames_are_an_animated_picture():
    from PIL import Image

    frames = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    uri = drawing.animation(frames, 4.0)
    assert uri.startswith("data:image/webp;base64,")
    film = Image.open(content(uri))
    assert (film.n_frames, film.size, film.info["loop"]) == (3, (8, 8), 0)
    film.load()
    assert film.info["duration"] == 250


def test_lines_fill_their_canvas():
    picture = drawing.lines(np.array([0.0, 1.0, 3.0]), np.array([[5.0], [7.0], [6.0]]))
    assert '<polyline points="2.0,94.0 80.7,2.0 238.0,48.0" fill="none" stroke="#2563a8"' in picture
    assert picture.startswith('<svg width="240" height="96" viewBox="0 0 240 96">')
    flat = drawing.lines(np.arange(2.0), np.zeros((2, 7)))
    assert flat.count('points="2.0,94.0 238.0,94.0"') == 7
    assert flat.count('stroke="#2563a8"') == 2  # a seventh line has the first one's colour


def test_points_stand_where_they_are():
    assert 'cx="0.0" cy="96.0" r="1" fill="#2563a8"' in drawing.dots(np.array([[-1.0, -1.0]]))
    both = drawing.dots(np.array([[0.5, 1.0, -1.0]]))
    assert 'cx="72.0" cy="0.0" r="1" fill="#2563a8"' in both
    assert 'cx="96.0" cy="0.0" r="1" fill="#d9822b"' in both
    assert both.startswith('<svg width="192" height="96"')
    assert 'cx="48.0" cy="48.0"' in drawing.dots(np.zeros((1, 1)))
    assert drawing.dots(np.zeros((600, 2))).count("<circle") == 200


def test_a_heat_map_of_equal_values_is_black():
    from PIL import Image

    assert not np.asarray(Image.open(content(drawing.heat_map(np.ones((2, 3)))))).any()


def test_no_more_than_256_steps_or_points_are_drawn():
    for count, drawn in ((255, 255), (256, 128), (511, 256), (512, 171)):
        assert drawing.dots(np.zeros((count, 2))).count("<circle") == drawn
        assert drawing.lines(np.arange(float(count)), np.zeros((count, 1))).count(",") == drawn
