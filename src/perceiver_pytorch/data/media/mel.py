"""Log-mel energies of a sound."""

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache

from perceiver_pytorch._lazy import numpy as np

_FLOOR = 1e-10  # of the energies before the logarithm: digital silence is -23
RANGE = 10.0
"""How far below its peak the energies of a sound are told apart (nats): 43 dB."""
_ROWS = 1024  # rows computed at a time: bounds memory


def log_mel(sound: "np.ndarray", rate: int, bands: int, window: int, step: int) -> "np.ndarray":
    """Natural logarithm of the energies in mel bands, one row per step.

    Row i is the power spectrum of samples i * step to i * step + window under a (periodic) Hann window, summed in
    triangular bands that are equally spaced on the mel scale 2595 log10(1 + f / 700) from 0 to half the rate. Behind
    the sound's end there is silence.

    Args:
        sound: float (samples, channels).
        rate: in Hz.
        bands: number of mel bands.
        window, step: in samples.

    Returns:
        float32 (ceil(samples / step), channels, bands).
    """
    rows = -(-len(sound) // step)
    padded = np.zeros(((rows - 1) * step + max(window, step), sound.shape[1]), np.float32)
    padded[: len(sound)] = sound
    frames = np.lib.stride_tricks.sliding_window_view(padded, window, axis=0)[
        ::step
    ]  # (rows, channels, window), a view
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    energies = np.empty((rows, sound.shape[1], bands), np.float32)
    for first in range(0, rows, _ROWS):
        part = slice(first, min(first + _ROWS, rows))
        spectrum = np.abs(np.fft.rfft(frames[part] * hann, axis=-1)) ** 2
        energies[part] = np.log(np.maximum(spectrum @ mel_filters(rate, bands, window).T, _FLOOR))
    return energies


def log_mel_in_pieces(
    parts: "Iterable[np.ndarray]", rate: int, bands: int, window: int, step: int
) -> "Iterator[np.ndarray]":
    """`log_mel` of a sound that comes in parts, in pieces: each has the samples that its rows depend on."""
    needed, rest = max(window, step), None
    for part in parts:
        held = part if rest is None else np.concatenate([rest, part])
        rows = max(0, (len(held) - needed) // step + 1)
        if rows:
            yield log_mel(held[: (rows - 1) * step + needed], rate, bands, window, step)[:rows]
        rest = held[rows * step :].copy()
    if rest is not None and len(rest):
        yield log_mel(rest, rate, bands, window, step)


def below_peak(energies: "np.ndarray", peak: float | None = None) -> "np.ndarray":
    """Log-mel energies relative to the sound's largest, 0 to -`RANGE`: what is softer is silence.

    An absolute floor would let digital silence and the loudness of a recording rule the values. A silent sound has no
    peak, and is silent here, too.

    Args:
        energies: of `log_mel`.
        peak: the largest of the sound, where these are only some of its energies.

    Returns:
        float32 of the same shape.
    """
    peak = max(float(energies.max()) if peak is None else peak, math.log(_FLOOR) + RANGE)
    return np.maximum(energies - np.float32(peak), np.float32(-RANGE))


@lru_cache(maxsize=8)
def mel_filters(rate: int, bands: int, window: int) -> "np.ndarray":
    """Triangular bands, float64 (bands, window // 2 + 1); one narrower than a frequency step takes the nearest."""
    frequencies = np.arange(window // 2 + 1) * rate / window
    top = 2595 * np.log10(1 + rate / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    low, middle, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    filters = np.clip(np.minimum((frequencies - low) / (middle - low), (high - frequencies) / (high - middle)), 0, None)
    for band in np.flatnonzero(filters.sum(1) == 0):
        filters[band, np.abs(frequencies - corners[band + 1]).argmin()] = 1.0
    return filters
