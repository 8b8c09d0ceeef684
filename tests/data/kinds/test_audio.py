"""Audio columns and sound tracks."""

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from data_helpers import POSITIVE, SHARE, WHOLE, check_bounds, declared, fitted, shades, table_of, video, wav
from perceiver_pytorch.data import AudioSpec, DataError, Encoded, SpecOptions, Where, drawing
from perceiver_pytorch.data.kinds.audio import AudioAugmentation, AudioKind, AudioSettings, learn_sound
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
    options = SpecOptions(mel_bands=16, audio_stem="none")
    spec = AudioSpec.fit("x", [AudioFacts(8000, 1.0)], [wav(TONE)], options)
    assert (spec.mel_bands, spec.mel_window, spec.patch, spec.axes, spec.channels) == (16, 200, 80, (100,), 16)
    encoded = spec.encode({"x": wav(TONE)}, WHERE)
    assert encoded.values.shape == (100, 16)
    np.testing.assert_allclose(encoded.values.mean(0), 0, atol=1e-3)
    assert (encoded.values.std(0) <= 1 + 1e-3).all()
    assert encoded.values.std(0).max() == pytest.approx(1, abs=1e-3)
    grid = replace(spec, stem="convolution")
    assert (grid.axes, grid.channels, grid.grid(1)) == ((100, 16), 1, None)
    np.testing.assert_array_equal(grid.encode({"x": wav(TONE)}, WHERE).values[..., 0], encoded.values)
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


MEL = AudioSpec("x", 8000, 8000, 80, mel_bands=16, mel_window=200, sides=2)
RAW = AudioSpec("x", 8000, 64, 4, mean=0.25, std=0.5, sides=2)


def learned(*facts, clips=(), **options):
    plain = {"audio_features": "raw", "audio_stem": "none", **options}
    return AudioSpec.fit("x", [AudioFacts(*fact) for fact in facts], list(clips), SpecOptions(**plain))


def test_rate_length_and_patch_are_learned():
    assert learned((8000, 0.5), (8000, 0.1), (44100, 0.2)) == AudioSpec("x", 8000, 4000, 32)
    assert learned((44100, 1.0)) == AudioSpec("x", 16000, 16000, 32)
    assert learned((16001, 1.0)).sample_rate == 16000
    assert learned((44100, 1.0), sample_rate=22050).sample_rate == 22050
    assert learned((8000, 1000.0)).num_samples == 80_000
    assert learned((8000, float("inf")), max_audio_seconds=0.01, audio_patch=20).num_samples == 80
    assert learned((8000, 0.0)).num_samples == 32
    assert learned((8000, 32 / 8000 + 1e-10)).num_samples == 32  # rounding adds no token
    assert learned((8000, 33 / 8000)).num_samples == 64
    stereo = learned((8000, 0.02), audio_channels=2, audio_features="logmel", mel_step=0.002, mel_window=1e-5)
    known = {"means": (0.0,) * 64, "stds": (1.0,) * 64}
    assert stereo == AudioSpec("x", 8000, 160, 16, sides=2, mel_bands=64, mel_window=2, **known)
    assert learned((100, 1.0), audio_features="logmel", mel_step=0.001).patch == 1
    track = AudioSpec.fit("x.audio", [AudioFacts(8000, 1.0)], [], SpecOptions(), track_of="x")
    assert (track.stem, track.axes, track.channels) == ("convolution", (100, 64), 1)
    assert (track.track_of, track.columns, track.seconds) == ("x", ("x",), 1.0)


def test_mean_and_deviation_are_those_of_all_samples():
    clips = [wav(np.full(100, 0.5)), b"junk", wav(np.full(300, -0.5))]
    spec = learned((8000, 1.0), clips=clips)
    assert spec.mean == pytest.approx(-0.25, abs=1e-4)
    assert spec.std == pytest.approx(np.sqrt(0.25 - 0.25**2), abs=1e-4)
    silence = learned((8000, 1.0), clips=[wav(np.zeros(100))])
    assert (silence.mean, silence.std) == (0.0, 1.0)
    nothing = learned((8000, 1.0), clips=[b"junk"])
    assert (nothing.mean, nothing.std) == (0.0, 1.0)
    mel = learned((8000, 1.0), clips=[wav(TONE)], audio_features="logmel", mel_bands=8)
    energies = replace(mel, means=(0.0,) * 8, stds=(1.0,) * 8).encode({"x": wav(TONE)}, WHERE).values
    assert energies.max() == 0
    np.testing.assert_allclose(mel.means, energies.mean(0), rtol=1e-4, atol=1e-4)
    deviations = energies.std(0)
    np.testing.assert_allclose(mel.stds, np.maximum(deviations, deviations.mean() / 4), rtol=1e-3)


def test_options_of_sounds():
    options = AudioSettings()
    assert (options.sample_rate, options.audio_channels, options.audio_patch, options.mel_bands) == (None, 1, 32, 64)
    assert (options.mel_window, options.mel_step, options.max_audio_seconds) == (0.025, 0.010, 10.0)
    changes = AudioAugmentation()
    assert (changes.audio_shift, changes.audio_gain, changes.audio_noise) == (0.1, 6.0, 0.05)
    assert (changes.spec_time, changes.spec_bands) == (0.1, 0.2)


def test_numbers_of_a_spec():
    assert (RAW.axes, RAW.channels, RAW.seconds, RAW.resolution, RAW.vocab_size) == ((16,), 8, 0.008, 16.0, 0)
    assert (MEL.axes, MEL.channels, MEL.seconds, MEL.resolution) == ((100,), 32, 1.0, 100.0)
    assert (RAW.file_columns, RAW.grid(0)) == (("x",), None)
    assert RAW.layout() == {"sides": 2, "mean": 0.25, "std": 0.5}
    assert RAW.token_options() == {
        "sample_rate": 8000,
        "audio_channels": 2,
        "audio_stem": "none",
        "audio_features": "raw",
        "audio_patch": 4,
    }
    assert MEL.token_options() == {
        "sample_rate": 8000,
        "audio_channels": 2,
        "audio_stem": "none",
        "audio_features": "logmel",
        "mel_bands": 16,
        "mel_step": 0.01,
        "mel_window": 0.025,
    }
    assert RAW.note() == "0.01 s at 8000 Hz, stereo, 4 samples a token"
    assert replace(MEL, sides=1).note() == "1.00 s at 8000 Hz, mono, 16 log-mel bands every 80 samples"
    np.testing.assert_allclose(replace(RAW, clock=0.016).grid(0)[:3], [-1, -15 / 16, -14 / 16])


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"sample_rate": 0}, "sample_rate must be"),
        ({"num_samples": 0}, "num_samples must be"),
        ({"patch": 0}, "patch must be"),
        ({"std": 0.0}, "std must be"),
        ({"mel_bands": 4}, "mel_window must be"),
        ({"num_samples": 65}, "^num_samples must be a multiple of the patch 32, got 65$"),
        ({"sides": 3}, "sides must be"),
        ({"mean": 1e40}, "mean and each of means must"),
        ({"mel_bands": 1, "mel_window": 64, "means": (-1e40,), "stds": (1.0,)}, "mean and each of means must"),
    ],
)
def test_wrong_numbers_are_named(fields, reason):
    with pytest.raises(ValueError, match=reason):
        AudioSpec(**{"name": "x", "sample_rate": 8000, "num_samples": 64, "patch": 32, **fields})


def test_a_token_of_stereo_goes_sample_by_sample():
    stereo = np.stack([np.linspace(0.1, 0.5, 5), -np.linspace(0.1, 0.5, 5)], axis=1)
    encoded = RAW.encode({"x": wav(stereo, 8000, 2)}, WHERE)
    assert encoded.values.shape == (2, 8)
    np.testing.assert_allclose(encoded.values[0] * 0.5 + 0.25, stereo[:4].reshape(-1), atol=1e-4)
    np.testing.assert_allclose(encoded.values[1, :2] * 0.5 + 0.25, stereo[4], atol=1e-4)
    assert not encoded.values[1, 2:].any()


def test_examples_are_a_sound_or_a_picture_with_low_bands_below(monkeypatch):
    drawn = []
    monkeypatch.setattr(drawing, "wav", lambda sound, rate: drawn.append((sound, rate)) or "wav")
    monkeypatch.setattr(drawing, "heat_map", lambda values: drawn.append(values) or "map")
    tokens = np.arange(16, dtype=np.float32).reshape(2, 8)
    assert RAW.example(Encoded(tokens), {}) == [{"kind": "audio", "name": "x", "value": "wav"}]
    np.testing.assert_allclose(drawn[0][0], np.arange(16).reshape(8, 2) * 0.5 + 0.25)
    assert drawn[0][1] == 8000
    energies = np.arange(64, dtype=np.float32).reshape(2, 32)
    assert MEL.example(Encoded(energies), {}) == [{"kind": "image", "name": "x", "value": "map"}]
    np.testing.assert_array_equal(drawn[1], energies.T[::-1])


def test_random_changes_leave_what_is_behind_the_end():
    torch.manual_seed(0)
    mask = torch.ones(400, 16, dtype=torch.bool)
    mask[::2, 10:] = False
    values = torch.randn(400, 16, 8)
    quiet = AudioAugmentation(audio_shift=0.0, audio_gain=0.0, audio_noise=0.0, spec_time=0.0, spec_bands=0.0)
    torch.testing.assert_close(RAW.augmented(values, mask, quiet), values)
    for knob, value in (("audio_shift", 0.5), ("audio_gain", 6.0), ("audio_noise", 0.5)):
        after = RAW.augmented(values, mask, replace(quiet, **{knob: value}))
        assert torch.equal(after[::2, 10:], values[::2, 10:])
        assert (after != values)[1::2].float().mean() > 0.5
    loud = RAW.augmented(values, None, replace(quiet, audio_gain=6.0)) / values
    assert 1.9 < loud.max() <= 10 ** (6 / 20) + 1e-4
    assert 10 ** (-6 / 20) - 1e-4 <= loud.min() < 0.53
    torch.testing.assert_close(loud.flatten(1).amax(1), loud.flatten(1).amin(1))  # a row at a time
    noise = (RAW.augmented(values, None, replace(quiet, audio_noise=0.5)) - values).flatten(1).std(1)
    assert noise.max() < 0.62
    assert 0.2 < noise.mean() < 0.3
    later = RAW.augmented(
        torch.arange(1.0, 129.0).view(1, 16, 8).expand(400, 16, 8), None, replace(quiet, audio_shift=0.5)
    )
    first = later.reshape(400, 64, 2)[:, 32, 0]
    assert (first % 2 == 1).all()  # whole samples, both sides
    assert first.min() < 10
    assert first.max() > 120


def test_log_mel_energies_lose_a_stretch_and_a_range_of_both_sides():
    torch.manual_seed(0)
    values = torch.ones(500, 100, 32)
    mask = torch.ones(500, 100, dtype=torch.bool)
    mask[:, 50:] = False
    settings = AudioAugmentation(spec_time=0.2, spec_bands=0.5)
    blank = MEL.augmented(values, mask, settings).reshape(500, 100, 2, 16) == 0
    assert torch.equal(blank[:, :, 0], blank[:, :, 1])
    times, bands = blank.all(3)[:, :, 0], blank.all(1)[:, 0]
    assert set(times.sum(1).tolist()) == set(range(11))
    assert not times[:, 50:].any()
    assert set(bands.sum(1).tolist()) == set(range(9))
    assert torch.equal(blank[:, :, 0], times[:, :, None] | bands[:, None, :])


def test_sound_tracks_are_learned_from_films_that_have_one(tmp_path):
    tone = video(shades(5), 10, sound=TONE[:4000])
    silent = video(shades(5), 10)
    films = table_of(tmp_path, x=[tone, silent, None, tone] * 3, y=["a", "b"] * 6)
    spec, _ = fitted(films, "y", kinds={"x": "video+audio"})
    assert spec.modalities[1].track_of == "x"
    sounds = table_of(tmp_path, x=[silent] * 12, y=["a", "b"] * 6)
    with pytest.raises(DataError, match="the file has no sound track"):
        fitted(sounds, "y", kinds={"x": "audio"})
    with pytest.raises(
        DataError, match=r"column 'x' has no file with sound in the train rows.*--column x=video goes on"
    ):
        fitted(sounds, "y", kinds={"x": "video+audio"})


def test_what_the_kind_declares():
    spec = (AudioSpec, "audio", "float32")
    assert declared(AudioKind()) == ("audio", spec, AudioSettings, AudioAugmentation, False, False)
    assert AudioKind().recognises(SimpleNamespace(media="audio"))
    assert not AudioKind().recognises(SimpleNamespace(media="image"))
    check_bounds(AudioSettings, sample_rate=WHOLE, audio_patch=WHOLE, mel_bands=WHOLE)
    check_bounds(AudioSettings, mel_window=POSITIVE, mel_step=POSITIVE, max_audio_seconds=POSITIVE)
    check_bounds(AudioSettings, audio_channels=((1, 2), (0, 3)), audio_features=(("raw", "logmel"), ("mfcc",)))
    check_bounds(AudioAugmentation, audio_shift=SHARE, spec_time=SHARE, spec_bands=SHARE)
    check_bounds(AudioAugmentation, audio_gain=((0.0, 9.0), (-0.1,)), audio_noise=((0.0, 9.0), (-0.1,)))


def test_how_many_sounds_are_looked_at():
    seen = []

    def look(name, look, what, without):
        seen.append((name, what, without))
        return iter([AudioFacts(8000, 1.0)])

    def files(name, most):
        seen.append((name, most))
        return iter(())

    rows = SimpleNamespace(look=look, files=files, options=lambda name: SpecOptions(), cell_bytes=1 << 20)
    learn_sound("x", rows)
    learn_sound("x.audio", rows, track_of="x")
    what = "file with sound"
    assert seen == [("x", what, "ignore"), ("x", 512), ("x", what, "video"), ("x", 512)]


def test_a_share_of_the_sounds_changes_and_the_others_stay():
    torch.manual_seed(0)
    values = torch.randn(400, *MEL.axes, MEL.channels)
    same = (MEL.augmented(values, None, AudioAugmentation(audio_changed=0.25)) == values).flatten(1).all(1)
    assert 0.65 < same.float().mean() < 0.85
    assert torch.equal(MEL.augmented(values, None, AudioAugmentation(audio_changed=0.0)), values)
    every = MEL.augmented(values, None, AudioAugmentation(audio_changed=1.0))
    assert (every != values).flatten(1).any(1).float().mean() > 0.9
