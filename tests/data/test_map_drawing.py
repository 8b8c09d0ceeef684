"""Maps as people see them: for and against are told without colours, and what is largest is strongest."""

import base64
import io
import re
from xml.dom.minidom import parseString

import numpy as np
from PIL import Image

from perceiver_pytorch.data import map_drawing


def pixels_of(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))).convert("RGB")).astype(int)


def test_a_picture_and_its_map_stand_beside_each_other_and_the_map_is_where_the_heat_is():
    heat = np.zeros((8, 8))
    heat[1, 6], heat[6, 1] = 1.0, -1.0
    picture = np.full((8, 8, 3), 128, np.uint8)
    both = pixels_of(map_drawing.picture(picture, heat))
    assert both.shape == (256, 2 * 256 + 8, 3)
    assert (both[:, :256] == 128).all()
    drawn = both[:, 264:].reshape(8, 32, 8, 32, 3)
    warm, cold = drawn[1, 16, 6, 16], drawn[6, 16, 1, 16]
    assert warm[0] > warm[2] + 50
    assert cold[2] > cold[0] + 50
    assert np.ptp(drawn[4, 16, 4, 16]) < 3  # grey


def test_for_is_outlined_by_a_line_and_against_by_dots():
    grey = np.full((8, 8), 128, np.uint8)
    edges = []
    for sign in (1, -1):
        heat = np.zeros((8, 8))
        heat[2:6, 2:6] = sign
        drawn = map_drawing.on_pixels(grey, heat)
        top = (drawn[64, 64:192] == 0).all(-1)
        edges.append(top.mean())
    assert edges[0] == 1.0
    assert 0.3 < edges[1] < 0.7


def test_a_map_of_zeros_leaves_a_grey_picture():
    drawn = map_drawing.on_pixels(np.full((4, 4), 100, np.uint8), np.zeros((4, 4)))
    assert np.ptp(drawn) == 0


def test_large_maps_are_drawn_as_what_neighbours_say_together():
    heat = np.zeros((96, 96))
    heat[40:45, 40:45] = 1.0
    smooth = map_drawing.heat_of_size(heat)
    assert smooth.shape == heat.shape
    np.testing.assert_allclose(smooth.sum(), heat.sum())
    assert np.unravel_index(smooth.argmax(), heat.shape) == (42, 42)


def test_words_have_bars_solid_for_and_dashed_against_and_are_escaped():
    svg = map_drawing.words(["good", "<bad>", "x"], [2.0, -1.0, 0.0])
    parseString(svg)
    groups = re.findall(r"<g>.*?</g>", svg)
    assert "dasharray" not in groups[0]
    assert "dasharray" in groups[1]
    assert 'stroke-width="5.00"' in groups[0]
    assert 'stroke-width="2.50"' in groups[1]
    assert "&lt;bad&gt;" in groups[1]


def test_bars_go_to_the_right_for_and_to_the_left_against_the_longest_first():
    svg = map_drawing.bars(["small", "large", "b" * 80], [0.5, -2.0, 0.0])
    parseString(svg)
    assert svg.index("large") < svg.index("small")
    left, right = (float(x) for x in re.findall(r'<rect x="([\d.]+)"', svg)[:2])
    assert left < right
    assert "-2" in svg


def test_waves_have_a_time_axis_in_seconds_and_bars_up_and_down():
    line = np.sin(np.linspace(0, 20, 5000))
    heat = np.zeros(50)
    heat[10], heat[30] = 1.0, -0.5
    svg = map_drawing.waves([line], [heat], ["sound"], 2.0)
    parseString(svg)
    assert "0.5 s" in svg
    (first, second) = re.findall(r'<rect x="[\d.]+" y="([\d.]+)" width="[\d.]+" height="([\d.]+)"', svg)
    assert float(first[0]) + float(first[1]) == float(second[0])  # one ends at the middle, where the other begins
    assert float(first[1]) == 2 * float(second[1])


def test_what_is_not_there_is_a_gap_of_a_line():
    line = np.array([0.0, 1.0, np.nan, 2.0, 3.0])
    svg = map_drawing.waves([line], [np.ones(5)], ["a & b"], 5.0, "steps")
    parseString(svg)
    assert svg.count("<polyline") == 2
    assert svg.count("<rect") == 5


def test_spectrograms_films_strips_and_points_are_drawn():
    svg = map_drawing.spectrogram(np.random.rand(16, 30), np.random.randn(16, 30), 1.5, "log-mel")
    parseString(svg)
    assert "data:image/png" in svg
    frames, heat = np.random.randint(0, 255, (5, 8, 8, 3), dtype=np.uint8), np.random.randn(5, 8, 8)
    assert pixels_of(map_drawing.strip(frames, heat)).shape == (512, 5 * 256 + 4 * 8, 3)
    film = Image.open(io.BytesIO(base64.b64decode(map_drawing.film(frames, heat, 5).split(",", 1)[1])))
    assert film.n_frames == 5
    svg = map_drawing.points(np.random.rand(9, 3) * 2 - 1, np.linspace(-1, 1, 9))
    parseString(svg)
    assert svg.count("<circle") == 18
    assert svg.count('fill="none" stroke') == 10


def test_tokens_of_any_shape_are_drawn():
    parseString(map_drawing.tokens(np.random.randn(12)))
    assert map_drawing.tokens(np.random.randn(4, 5, 6)).startswith("data:image/png")
