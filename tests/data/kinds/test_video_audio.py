"""Video columns whose sound is read too."""

from pathlib import Path

import numpy as np
import pytest

from data_helpers import declared, fitted, shades, table_of, video
from perceiver_pytorch._settings import Settings
from perceiver_pytorch.data import SpecOptions, Where
from perceiver_pytorch.data.column import Column
from perceiver_pytorch.data.kinds.video_audio import VideoAudioKind

WHERE = Where("here.csv", Path("/nowhere"), 17)


def test_sound_tracks_are_a_modality_of_their_own_on_the_same_clock(tmp_path):
    sound = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 8000)
    cells = [video(shades(20), 10, sound=sound), video(shades(20), 10), None] * 4
    table = table_of(tmp_path, clip=cells, y=["a", "b", "c"] * 4)
    spec, _ = fitted(
        table, "y", kinds={"clip": "video+audio"}, options=SpecOptions(audio_features="raw", video_rate=5.0)
    )
    assert [(m.name, m.kind, m.columns) for m in spec.modalities] == [
        ("clip", "video", ("clip",)),
        ("clip.audio", "audio", ("clip",)),
    ]
    film, track = spec.modalities
    assert film.clock == track.clock >= 2.0
    with_sound, silent, missing = ([m.encode({"clip": cells[i]}, WHERE) for m in spec.modalities] for i in range(3))
    assert silent[0] is not None
    assert silent[1] is None
    assert missing == [None, None]
    # After one second: frame 5 of 5 a second, token 250 of 32 samples of 8000 a second.
    assert film.grid(0)[5] == pytest.approx(track.grid(0)[250]) == pytest.approx(2 / film.clock - 1)
    values = with_sound[1].values.reshape(-1) * track.std + track.mean
    np.testing.assert_allclose(values[2000:6000].std(), 0.5 / np.sqrt(2), atol=0.03)


def test_what_the_kind_declares():
    assert declared(VideoAudioKind()) == ("video+audio", None, Settings, Settings, False, False)


def test_films_are_read_with_their_sound_where_they_have_some(tmp_path):
    loud, silent = video(shades(3), 10, sound=np.zeros(3000)), video(shades(3), 10)
    (tmp_path / "loud.mp4").write_bytes(loud)
    cases = {
        "loud": ([loud, None, None, loud], True),
        "paths": (["loud.mp4", "nowhere.mp4"] * 2, True),
        "silent": ([silent] * 4, False),
        "both": ([silent, loud] * 2, False),
        "outside": (["../loud.mp4"] * 4, False),
        "no_films": (["a.mp3"] * 4, False),
    }
    table = table_of(tmp_path, **{name: cells for name, (cells, _) in cases.items()})
    assert {name: VideoAudioKind().recognises(Column(table, name)) for name in cases} == {
        name: expected for name, (_, expected) in cases.items()
    }
