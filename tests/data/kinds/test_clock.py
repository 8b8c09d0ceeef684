"""Time axes that modalities share."""

import numpy as np

from perceiver_pytorch.data import AudioSpec, SpecOptions, TextSpec, VideoSpec
from perceiver_pytorch.data.kinds.clock import ClockSettings, clock_note, on_clocks

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


def test_a_clock_says_how_long_it_is():
    note = "0.00 s at 8000 Hz, mono, 4 samples a token"
    assert AudioSpec("x", 8000, 16, 4).note() == note
    assert AudioSpec("x", 8000, 16, 4, clock=2.5).note().startswith(note)
    assert clock_note(AudioSpec("x", 8000, 16, 4)) == ""
    assert clock_note(AudioSpec("x", 8000, 16, 4, clock=2.5)) == ", on a clock of 2.50 s"
    assert ClockSettings().clock is False


def test_places_go_from_the_beginning_of_the_clock_by_steps():
    sound = AudioSpec("x", 8000, 16, 4, clock=0.004)
    grid = sound.grid(0)
    assert grid.dtype == np.float32
    np.testing.assert_allclose(grid, [-1, -0.75, -0.5, -0.25])
    assert sound.resolution == 8
    assert AudioSpec("x", 8000, 64, 4, clock=0.004).resolution == 16  # no fewer than there are tokens
    alone = AudioSpec("x", 8000, 16, 4)
    assert on_clocks([alone], SpecOptions())[0] is alone
    assert on_clocks([alone], SpecOptions(clock=True))[0].clock == 0.002
