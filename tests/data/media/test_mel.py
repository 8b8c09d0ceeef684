"""Log-mel energies."""

import numpy as np
import pytest
import scipy.signal

from perceiver_pytorch.data.media.mel import log_mel, mel_filters


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
