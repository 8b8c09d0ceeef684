"""Time axes that modalities share."""

import numpy as np

from perceiver_pytorch.data import AudioSpec, SpecOptions, TextSpec, VideoSpec
from perceiver_pytorch.data.kinds.clock import on_clocks

FILM = VideoSpec("film", 5.0, 10, 8, 8, 4)  # 2 s
TRACK = AudioSpec("film.audio", 8000, 8000, 80, track_of="film")  # 1 s
SOUND = AudioSpec("sound", 8000, 32000, 80)  # 4 s


def clocks(options):
    return [getattr(spec, "clock", None) for spec in on_clocks([FILM, TRACK, SOUND, TextSpec("note", 8)], options)]


def test_a_video_and_its_sound_share_one_axis():
    assert clocks(SpecOptions()) == [2.0, 2.0, 0.0, None]


def test_all_that_are_asked_to_share_the_longest():
    assert clocks(SpecOptions(clock=True)) == [4.0, 4.0, 4.0, None]
    assert clocks(SpecOptions(column_options={"sound": {"clock": True}})) == [2.0, 2.0, 4.0, None]


def test_the_same_moment_has_the_same_place():
    film, track, *_ = on_clocks([FILM, TRACK], SpecOptions())
    np.testing.assert_allclose(film.grid(0)[3], track.grid(0)[60], atol=1e-6)  # 0.6 s
    assert film.grid(1) is None
    assert film.resolution == 10
    assert track.resolution == 200
