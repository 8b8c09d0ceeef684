"""Cells that are longer than `stream_seconds` are read in pieces, which together are what is read of them whole."""

import base64
import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest

from data_helpers import POSITIVE, check_bounds, shades, table_of, video, wav
from perceiver_pytorch.data import AudioSpec, DataError, InputSpec, SpecOptions, VideoSpec, Where
from perceiver_pytorch.data.kinds import long_cells
from perceiver_pytorch.data.kinds import video as video_kind
from perceiver_pytorch.data.kinds.long_cells import LongCellSettings, once
from perceiver_pytorch.data.media import decoding
from perceiver_pytorch.data.media.audio_file import AudioFacts
from perceiver_pytorch.data.media.video_file import VideoFacts

WHERE = Where("here.csv", Path("/nowhere"), 17)
RNG = np.random.default_rng(0)
SOUND = RNG.normal(0, 0.1, 8000) * np.linspace(0, 1, 8000)  # the loudest is not in the first piece
ENERGIES = {"mel_bands": 8, "mel_window": 200, "means": (-4.0,) * 8, "stds": (2.0,) * 8}


def whole(spec):
    """The same without pieces, but with the stem that suits them."""
    return dataclasses.replace(spec, **{name: 0 for name in ("stream_frames", "stream_samples") if hasattr(spec, name)})


@pytest.mark.parametrize(
    "spec",
    [
        AudioSpec("x", 8000, 8000, 100, **ENERGIES, stem="convolution", stream_samples=2300),
        AudioSpec("x", 8000, 8000, 100, **ENERGIES, sides=2, stream_samples=2300),
        AudioSpec("x", 8000, 8000, 100, mel_bands=8, mel_window=90, mean=-9.0, std=3.0, stream_samples=500),
        AudioSpec("x", 8000, 8000, 32, mean=0.1, std=0.2, stream_samples=3200),
        AudioSpec("x", 4000, 4000, 32, sides=2, stream_samples=1600),
    ],
)
def test_a_long_sound(spec):
    cell = {"x": wav(SOUND[:7950])}
    expected, found = whole(spec).encode(cell, WHERE), spec.encode(cell, WHERE)
    assert found.changes == ("pieces",)
    pieces = list(found.pieces.read())
    assert len(pieces) > 2
    assert found.pieces.shape == expected.values.shape
    np.testing.assert_allclose(np.concatenate(pieces), expected.values, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(found.values, pieces[0])
    again = pickle.loads(pickle.dumps(found.pieces))  # worker processes hand them over
    np.testing.assert_array_equal(np.concatenate(list(again.read())), np.concatenate(pieces))


@pytest.mark.parametrize("patch", [1, 5])
def test_a_long_film(patch):
    spec = VideoSpec("x", 10, 100, 16, 18, patch, by_last_frame=True, stream_frames=7)
    cell = {"x": video(shades(23), 10)}
    expected, found = whole(spec).encode(cell, WHERE), spec.encode(cell, WHERE)
    assert set(found.changes) == {*expected.changes, "pieces"}
    assert found.pieces.shape == expected.values.shape
    np.testing.assert_array_equal(np.concatenate(list(found.pieces.read())), expected.values)


def test_short_cells_go_the_usual_way():
    film = VideoSpec("x", 10, 100, 16, 24, 4, by_last_frame=True, stream_frames=7)
    for count in (3, 7):
        assert film.encode({"x": video(shades(count), 10)}, WHERE).pieces is None
    sound = AudioSpec("x", 8000, 8000, 100, **ENERGIES, stream_samples=2300)
    found = sound.encode({"x": wav(SOUND[:2300])}, WHERE)
    assert found.pieces is None
    np.testing.assert_array_equal(found.values, whole(sound).encode({"x": wav(SOUND[:2300])}, WHERE).values)


def test_what_is_longer_than_the_train_rows_is_cut_and_told():
    film = VideoSpec("x", 10, 12, 16, 24, 4, by_last_frame=True, stream_frames=7)
    found = film.encode({"x": video(shades(23), 10)}, WHERE)
    assert found.pieces.shape[0] == 12
    assert "cut" in found.changes
    sound = AudioSpec("x", 8000, 4000, 100, **ENERGIES, stream_samples=2000).encode({"x": wav(SOUND)}, WHERE)
    assert sound.pieces.shape[0] == 40
    assert "cut" in sound.changes


def test_what_is_longer_than_all_train_rows_is_told_without_advice():
    film = VideoSpec("x", 10, 12, 16, 24, 4, by_last_frame=True, to_end=True)
    sound = AudioSpec("x", 8000, 4000, 100, **ENERGIES, to_end=True)
    for spec, cell in ((film, video(shades(23), 10)), (sound, wav(SOUND))):
        (change,) = {"cut", "beyond"} & {*spec.encode({"x": cell}, WHERE).changes}
        assert "null" not in spec.changes[change]


def test_all_train_films_are_looked_at_where_they_are_read_to_their_end(tmp_path, monkeypatch):
    monkeypatch.setattr(video_kind, "_NUM_VIDEOS", 2)
    table = table_of(tmp_path, film=[video(shades(count), 10) for count in (3, 9, 4, 5)], y=list("abab"))
    found = []
    for most in (None, 10.0):
        options = SpecOptions(max_video_seconds=most, video_rate=10)
        spec = InputSpec.fit(table, {"film": "video"}, target="y", rows=np.arange(4), options=options)
        found.append((spec.modalities[0].num_frames, spec.modalities[0].to_end))
    assert found == [(9, True), (5, False)]


def test_a_file_in_memory_counts():
    film, data = VideoSpec("x", 10, 100, 16, 24, 4, by_last_frame=True, stream_frames=7), video(shades(23), 10)
    found = film.encode({"x": base64.b64encode(data).decode()}, WHERE)
    assert found.nbytes == found.values.nbytes + len(data)
    assert found.pieces.file is None
    sound = AudioSpec("x", 8000, 8000, 100, **ENERGIES, stream_samples=2300).encode({"x": wav(SOUND)}, WHERE)
    assert sound.nbytes == sound.values.nbytes + len(wav(SOUND))


def test_a_file_on_disk_does_not_count(tmp_path):
    film = VideoSpec("x", 10, 100, 16, 24, 4, by_last_frame=True, stream_frames=7)
    (tmp_path / "film.mp4").write_bytes(video(shades(23), 10))
    found = film.encode({"x": "film.mp4"}, dataclasses.replace(WHERE, root=tmp_path))
    assert found.nbytes == found.values.nbytes


def test_a_silent_sound_is_unusual():
    sound = AudioSpec("x", 8000, 8000, 100, **ENERGIES, stream_samples=2000)
    assert [odd.what for odd in sound.encode({"x": wav(np.zeros(8000))}, WHERE).unusual] == ["silent"]
    assert not sound.encode({"x": wav(SOUND)}, WHERE).unusual


def test_damage_is_named_with_its_row(tmp_path):
    film = VideoSpec("x", 10, 100, 16, 24, 4, by_last_frame=True, stream_frames=7)
    (tmp_path / "film.mp4").write_bytes(video(shades(23), 10))
    found = film.encode({"x": "film.mp4"}, dataclasses.replace(WHERE, root=tmp_path))
    (tmp_path / "film.mp4").write_bytes(b"gone")
    with pytest.raises(DataError, match=r"here.csv: row 17, column 'x': the video .*'film.mp4'"):
        list(found.pieces.read())


def test_when_cells_are_read_in_pieces_is_learned():
    facts = [VideoFacts(24, 24, 7200.0, False), VideoFacts(24, 24, 3.0, False)]
    found = VideoSpec.fit("x", facts, SpecOptions(max_video_seconds=None))
    assert (found.rate, found.num_frames, found.stream_frames, found.held_axes) == (5.0, 36000, 300, (300, 24, 24))
    assert VideoSpec.fit("x", facts, SpecOptions(max_video_seconds=None, stream_seconds=None)).stream_frames == 0
    short = VideoSpec.fit("x", facts, SpecOptions(max_video_seconds=9))
    assert (short.num_frames, short.stream_frames) == (45, 0)
    assert short.stem_config == whole(short).stem_config
    assert found.stem_config == dataclasses.replace(found, num_frames=300, stream_frames=0).stem_config
    sounds = [AudioFacts(8000, 7200.0), AudioFacts(8000, 2.0)]
    long = AudioSpec.fit("x", sounds, [wav(SOUND)], SpecOptions(max_audio_seconds=None, stream_seconds=0.25))
    assert (long.num_samples, long.stream_samples, long.held_axes) == (57_600_000, 2000, (25, 64))
    plain = AudioSpec.fit("x", [AudioFacts(8000, 1.0)], [wav(SOUND)], SpecOptions())
    np.testing.assert_allclose(long.means, plain.means, atol=1e-4)
    np.testing.assert_allclose(long.stds, plain.stds, atol=1e-4)


def test_a_file_is_looked_through_once_until_it_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(long_cells, "_KNOWN", {})
    monkeypatch.setattr(long_cells, "_MOST_KNOWN", 2)
    looks = []
    file = tmp_path / "film"
    for content in (b"1", b"1", b"22"):
        if not looks or content != b"1":
            file.write_bytes(content)
        once(file, "length", lambda: looks.append(1))
    assert len(looks) == 2
    once(b"1", "length", lambda: looks.append(1))
    once(b"1", "peak", lambda: looks.append(1))
    once(b"1", "peak", lambda: looks.append(1))
    assert (len(looks), len(long_cells._KNOWN)) == (4, 2)


def test_a_file_that_is_gone_is_a_bad_cell(tmp_path, monkeypatch):
    film = VideoSpec("x", 10, 100, 16, 24, 4, by_last_frame=True, stream_frames=7)
    (tmp_path / "film.mp4").write_bytes(video(shades(23), 10))
    real = decoding.video

    def last_look(source, *rest):
        clip = real(source, *rest)
        source.unlink()
        return clip

    monkeypatch.setattr(decoding, "video", last_look)
    with pytest.raises(DataError, match=r"row 17, column 'x': the file cannot be read any more .*'film.mp4'"):
        film.encode({"x": "film.mp4"}, dataclasses.replace(WHERE, root=tmp_path))


def test_several_threads_may_make_room(monkeypatch):
    monkeypatch.setattr(long_cells, "_KNOWN", {})
    monkeypatch.setattr(long_cells, "_MOST_KNOWN", 1)

    def meanwhile():
        long_cells._KNOWN.clear()
        return once(b"2", "length", lambda: 2)

    assert once(b"1", "length", meanwhile) == 2
    assert len(long_cells._KNOWN) == 1


def test_a_film_of_two_shapes():
    first = video(shades(10, 32, 48), 25, kind="mpegts")
    second = video(shades(10, 48, 32), 25, kind="mpegts", times=[0.4 + i / 25 for i in range(10)])
    spec = VideoSpec("x", 25, 100, 16, 16, 4, by_last_frame=True, stream_frames=7)
    expected, found = whole(spec).encode({"x": first + second}, WHERE), spec.encode({"x": first + second}, WHERE)
    assert found.pieces.shape == expected.values.shape == (20, 3, 4, 48)
    np.testing.assert_array_equal(np.concatenate(list(found.pieces.read())), expected.values)


def test_options():
    check_bounds(LongCellSettings, stream_seconds=POSITIVE)
    assert LongCellSettings(stream_seconds=None).stream_seconds is None
