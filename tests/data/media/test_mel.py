"""Log-mel energies."""

import numpy as np
import pytest
import scipy.signal

from perceiver_pytorch.data.media.mel import below_peak, log_mel, log_mel_in_pieces, mel_filters


@pytest.mark.parametrize(
    ("rate", "window", "step", "bands"), [(8000, 200, 80, 20), (16000, 400, 160, 64), (800, 20, 33, 5)]
)
def test_log_mel_is_that_of_a_direct_computation(rate, window, step, bands):
    samples = np.random.default_rng(0).normal(size=(rate, 2))
    got = log_mel(samples.astype(np.float32), rate, bands, window, step)
    rows = -(-rate // step)
    assert got.shape == (rows, 2, bands)
    padded = np.concatenate([samples, np.zeros((rows * step + window, 2))]).astype(np.float32).astype(np.float64)
    hann = scipy.signal.get_window("hann", window)  # periodic
    for row in (0, rows // 2, rows - 1):
        for side in range(2):
            part = padded[row * step : row * step + window, side]
            part[rate - row * step :] = 0
            wave = np.exp(-2j * np.pi * np.outer(np.arange(window // 2 + 1), np.arange(window)) / window)
            power = np.abs(wave @ (part * hann)) ** 2
            np.testing.assert_allclose(got[row, side], np.log(mel_filters(rate, bands, window) @ power), atol=1e-4)


def test_mel_bands_cover_the_spectrum_once():
    filters = mel_filters(16000, 40, 1024)
    middle = filters[:, 20:-60].sum(0)
    np.testing.assert_allclose(middle, 1, atol=0.1)
    assert (filters.sum(1) > 0).all()
    assert (mel_filters(8000, 64, 100).sum(1) > 0).all()  # bands narrower than a frequency step


def test_silence_is_the_floor_and_long_sounds_are_computed_in_parts():
    assert (log_mel(np.zeros((90, 1), np.float32), 800, 4, 20, 10) == np.float32(np.log(1e-10))).all()
    sound = np.random.default_rng(0).normal(size=(2100 * 4, 1)).astype(np.float32)
    whole = log_mel(sound, 800, 4, 20, 4)
    assert whole.shape == (2100, 1, 4)
    for start in (0, 1000, 1020, 1024, 2040, 2048):
        part = log_mel(sound[start * 4 : start * 4 + 60], 800, 4, 20, 4)
        np.testing.assert_allclose(whole[start : start + 10], part[:10], rtol=1e-4)
    wide = log_mel(sound[:10], 800, 4, 20, 30)  # a step that is longer than the window
    assert wide.shape == (1, 1, 4)


def test_corners_of_the_bands():
    filters = mel_filters(8000, 3, 256)
    mel = np.linspace(0, 2595 * np.log10(1 + 4000 / 700), 5)
    corners = 700 * (10 ** (mel / 2595) - 1)
    frequencies = np.arange(129) * 8000 / 256
    for band in range(3):
        low, middle, high = corners[band : band + 3]
        expected = np.interp(frequencies, [low, middle, high], [0, 1, 0])
        np.testing.assert_allclose(filters[band], expected, atol=1e-9)
    narrow = mel_filters(8000, 40, 32)
    empty = (np.count_nonzero(narrow, axis=1) == 1) & (narrow.max(1) == 1)
    assert empty.any()
    centres = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 4000 / 700), 42)[1:-1] / 2595) - 1)
    for band in np.flatnonzero(empty):
        assert np.abs(np.arange(17) * 250 - centres[band]).argmin() == narrow[band].argmax()


@pytest.mark.parametrize(("window", "step"), [(200, 80), (64, 64), (50, 90)])
@pytest.mark.parametrize("sizes", [[1000], [1, 400, 599], [250] * 4, [30, 20, 950]])
def test_energies_in_pieces_are_those_of_the_sound(sizes, window, step):
    sound = np.random.default_rng(0).normal(0, 0.1, (1000, 2)).astype(np.float32)
    whole = log_mel(sound, 8000, 16, window, step)
    pieces = list(log_mel_in_pieces(np.split(sound, np.cumsum(sizes)[:-1]), 8000, 16, window, step))
    np.testing.assert_allclose(np.concatenate(pieces), whole, rtol=0, atol=1e-5)
    peak = float(whole.max())
    np.testing.assert_allclose(
        np.concatenate([below_peak(piece, peak) for piece in pieces]), below_peak(whole), rtol=0, atol=1e-5
    )
