"""Audio columns and sound tracks."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_helpers import video, wav
from perceiver_pytorch.data import (
    AudioSpec,
    DataError,
    SpecOptions,
    Where,
)
from perceiver_pytorch.data.media.audio_file import AudioFacts, read_audio

WHERE = Where("here.csv", Path("/nowhere"), 17)


class TestAudio:
    def test_samples_are_standardised_and_the_last_token_is_filled(self):
        spec = AudioSpec("x", 8000, 128, 32, mean=0.5, std=0.25)
        encoded = spec.encode({"x": wav(np.full(40, 0.75))}, WHERE)
        assert spec.shape == (4, 32)
        assert encoded.values.shape == (2, 32)
        assert encoded.values.dtype == np.float32
        np.testing.assert_allclose(encoded.values.reshape(-1)[:40], 1.0, atol=2e-4)
        assert (encoded.values.reshape(-1)[40:] == 0).all()
        assert encoded.mask is None
        assert not encoded.changes

    def test_longer_clips_are_cut(self):
        encoded = AudioSpec("x", 8000, 64, 32).encode({"x": wav(np.linspace(0, 1, 65))}, WHERE)
        assert encoded.changes == ("cut",)
        assert encoded.mask is None
        assert not AudioSpec("x", 8000, 64, 32).encode({"x": wav(np.zeros(64))}, WHERE).changes

    def test_rates_and_channels_are_brought_together(self):
        time = np.arange(4800) / 48000
        left = 0.8 * np.sin(2 * np.pi * 440 * time)
        stereo = np.stack([left, np.zeros_like(left)], axis=1)
        values = AudioSpec("x", 8000, 800, 32).encode({"x": wav(stereo, 48000, 2)}, WHERE).values.reshape(-1)
        expected = 0.4 * np.sin(2 * np.pi * 440 * np.arange(800) / 8000)
        np.testing.assert_allclose(values[80:720], expected[80:720], atol=5e-3)

    def test_damage_is_named(self):
        for data in (b"RIFF0000WAVEjunk", b"junk", wav(np.zeros(0))):
            with pytest.raises(DataError, match="row 17, column 'x': the sound"):
                AudioSpec("x", 8000, 64, 32).encode({"x": data}, WHERE)


WHERE = Where("here.csv", Path("/nowhere"), 17)


TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)


def sound(samples, kind, subtype=None, rate=8000):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def test_stereo_is_kept_or_mixed():
    stereo = np.stack([TONE, np.zeros_like(TONE)], axis=1)
    both = read_audio(sound(stereo, "WAV", "FLOAT"), 8000, 8000, 2).samples
    np.testing.assert_allclose(both, stereo, atol=1e-6)
    mono = read_audio(sound(stereo, "WAV", "FLOAT"), 8000, 8000, 1).samples
    np.testing.assert_allclose(mono[:, 0], TONE / 2, atol=1e-6)
    spread = read_audio(sound(TONE, "WAV", "FLOAT"), 8000, 8000, 2).samples
    np.testing.assert_allclose(spread, np.stack([TONE, TONE], axis=1), atol=1e-6)
    spec = AudioSpec("x", 8000, 8000, 100, sides=2)
    values = spec.encode({"x": sound(stereo, "WAV", "FLOAT")}, WHERE).values
    assert values.shape == (80, 200)
    np.testing.assert_allclose(values.reshape(-1, 2), stereo, atol=1e-6)


def test_log_mel_tokens_of_a_column():
    options = SpecOptions(audio_features="logmel", mel_bands=16)
    spec = AudioSpec.fit("x", [AudioFacts(8000, 1.0)], [wav(TONE)], options)
    assert (spec.mel_bands, spec.mel_window, spec.patch, spec.axes, spec.channels) == (16, 200, 80, (100,), 16)
    encoded = spec.encode({"x": wav(TONE)}, WHERE)
    assert encoded.values.shape == (100, 16)
    assert encoded.values.mean() == pytest.approx(0, abs=1e-3)
    assert encoded.values.std() == pytest.approx(1, abs=1e-3)
    assert spec.encode({"x": wav(TONE[:4000])}, WHERE).values.shape == (50, 16)


def test_a_film_without_sound_is_named_unless_its_track_is_asked_for():
    silent = video([np.zeros((16, 16, 3), np.uint8)] * 3)
    with pytest.raises(DataError, match="row 17, column 'x': the file has no sound track"):
        AudioSpec("x", 8000, 64, 32).encode({"x": silent}, WHERE)
    assert AudioSpec("x.audio", 8000, 64, 32, track_of="x").encode({"x": silent}, WHERE) is None


def test_a_file_that_was_cut_off_is_told_unless_what_is_read_is_there():
    data = sound(TONE, "WAV")[:4044]  # 2000 samples of 8000
    assert AudioSpec("x", 8000, 8000, 32).encode({"x": data}, WHERE).changes == ("incomplete",)
    assert AudioSpec("x", 8000, 1984, 32).encode({"x": data}, WHERE).changes == ("cut",)
    assert AudioSpec.changes["incomplete"].startswith("lack their end")
    assert "incomplete" not in AudioSpec.harmless
