import io
import wave

import numpy as np
import pytest

from perceiver_pytorch.data.builtin import dtmf
from perceiver_pytorch.data.builtin.digits import digits_rows, digits_tones
from perceiver_pytorch.data.builtin.dtmf import (
    HIGH,
    LOW,
    NUM_SAMPLES,
    SAMPLE_RATE,
    dialled,
    frequencies,
    wav_bytes,
)


def heard(clip):
    """The low and high frequency with most energy, searching each by its tolerance around the nominal one."""
    spectrum = np.abs(np.fft.rfft(clip, 16000))
    axis = np.fft.rfftfreq(16000, 1 / SAMPLE_RATE)

    def strongest(nominal):
        return max(nominal, key=lambda f: spectrum[np.abs(axis - f) <= 0.016 * f].max())

    return strongest(LOW), strongest(HIGH)


def test_a_spectrum_tells_the_dialled_digit():
    rng = np.random.default_rng(3)
    for _ in range(12):
        for digit in range(10):
            clip = dialled(digit, rng)
            assert clip.shape == (NUM_SAMPLES,)
            assert np.abs(clip).max() <= 1.0
            assert heard(clip) == frequencies(digit)


def test_the_keypad_is_that_of_q23():
    assert frequencies(1) == (697.0, 1209.0)
    assert frequencies(6) == (770.0, 1477.0)
    assert frequencies(0) == (941.0, 1336.0)
    assert len({frequencies(digit) for digit in range(10)}) == 10
    with pytest.raises(ValueError, match="got 10"):
        frequencies(10)


def test_clips_differ_in_start_and_level():
    rng = np.random.default_rng(0)
    clips = np.array([dialled(5, rng) for _ in range(40)])
    peaks = 20 * np.log10(np.abs(clips).max(axis=1))
    assert peaks.max() - peaks.min() > 8
    assert peaks.min() > -23
    loud = np.abs(clips) > 0.5 * np.abs(clips).max(axis=1, keepdims=True)
    assert np.ptp(loud.argmax(axis=1)) > 0.04 * SAMPLE_RATE


def test_wav_files_hold_the_clip():
    clip = np.array([0.0, 1.0, -1.0, 0.5])
    with wave.open(io.BytesIO(wav_bytes(clip))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 8000)
        assert np.frombuffer(file.readframes(4), "<i2").tolist() == [0, 32767, -32767, 16384]


def test_the_rows_of_digits_have_the_tones_of_their_digits():
    clips = digits_tones()
    rows = list(digits_rows(np.arange(1797) % 10))
    for row in rows[::500]:
        assert heard(clips[row.tone]) == frequencies(row.dialled)
    tones = {split: {row.tone for row in rows if row.split == split} for split in ("train", "val", "test")}
    assert not (tones["train"] & tones["val"] | tones["train"] & tones["test"] | tones["val"] & tones["test"])


def test_a_set_that_keeps_its_version_keeps_its_sounds():
    """Else the set's version in store.py counts up."""
    places = np.arange(NUM_SAMPLES)
    expected = {
        0: (-0.5029690530809063, 3.019499889423958, -105.25733327289606, 0.21301015446904314),
        1: (-0.5573611596906815, 4.579208517097005, -276.11150926808506, 0.5253805104147993),
        2: (0.29713138911749953, 48.40862846488359, -1071.9608647333919, 0.5719318301431229),
    }
    for seed, values in expected.items():
        rng = np.random.default_rng(seed)
        clip = dialled(7, rng)
        found = (clip @ np.cos(places), (clip**2).sum(), places @ clip, rng.random())
        assert found == pytest.approx(values, rel=1e-6), seed


def test_a_tone_may_end_with_its_clip_and_is_not_louder_than_the_file(monkeypatch):
    class Last:
        """Draws the last of all places, and the loudest noise."""

        def __getattr__(self, name):
            return getattr(np.random.default_rng(0), name)

        def integers(self, below):
            return below - 1

        def normal(self, mean, spread, size):
            return np.full(size, mean)

    clip = dialled(3, Last())
    assert abs(clip[-20:]).max() > 0
    monkeypatch.setattr(dtmf, "_LEVEL_DB", (20.0, 20.0))
    loud = dialled(3, np.random.default_rng(0))
    assert (loud.min(), loud.max()) == (-1.0, 1.0)
