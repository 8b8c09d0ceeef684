"""Dialled digits: the dual tones of ITU-T Recommendation Q.23, as a receiver of Q.24 has to understand them.

Q.23 gives each key one low and one high frequency. Q.24 lists what receivers tolerate: frequencies 1.5 % off or more,
tones as short as 40 ms, the two tones' levels apart by several dB ("twist"). The tones here stay inside these bounds
(1.5 %, 80 ms, 4 dB), so that a receiver by the book understands all of them; levels, noise and hum are our own choice
of a mildly bad line.
"""

import io
import wave

import numpy as np

SAMPLE_RATE = 8000
NUM_SAMPLES = 1600  # 0.2 s
LOW = (697.0, 770.0, 852.0, 941.0)  # Hz, keypad rows
HIGH = (1209.0, 1336.0, 1477.0)  # Hz, keypad columns
KEYPAD = ("123", "456", "789", "*0#")

_TONE_SECONDS = (0.080, 0.160)
_ONSET_SECONDS = (0.002, 0.005)
_FREQUENCY_ERROR = 0.015  # of the nominal frequency
_LEVEL_DB = (-20.0, -3.0)  # peak of both tones together, against full scale
_TWIST_DB = 4.0  # high against low tone, either way
_SNR_DB = (15.0, 30.0)
_HUM_CHANCE = 0.5
_HUM_DB = (-40.0, -20.0)  # against the tone's peak


def frequencies(digit: int) -> tuple[float, float]:
    """The nominal low and high frequency of a digit 0..9, in Hz."""
    for low, keys in zip(LOW, KEYPAD, strict=True):
        if str(digit) in keys:
            return low, HIGH[keys.index(str(digit))]
    raise ValueError(f"digit must be one of 0 to 9, got {digit!r}")


def dialled(digit: int, rng: np.random.Generator) -> np.ndarray:
    """A clip with one dialled digit, float64 (1600,) within -1..1 at 8 kHz.

    The tone lasts 80-160 ms and starts anywhere it fits. White noise and, half of the time, 50 or 60 Hz hum fill the
    clip.
    """
    tone = _tone(digit, rng)
    clip = np.zeros(NUM_SAMPLES)
    start = rng.integers(NUM_SAMPLES - len(tone) + 1)
    clip[start : start + len(tone)] = tone
    power = float(np.mean(tone**2))
    clip += rng.normal(0.0, np.sqrt(power * _from_db(-2 * rng.uniform(*_SNR_DB))), NUM_SAMPLES)
    if rng.random() < _HUM_CHANCE:
        level = float(np.abs(tone).max()) * _from_db(rng.uniform(*_HUM_DB))
        clip += level * _sine(rng.choice([50.0, 60.0]), NUM_SAMPLES, rng)
    return np.clip(clip, -1.0, 1.0)


def wav_bytes(clip: np.ndarray) -> bytes:
    """A clip within -1..1 as a 16-bit mono WAV file at 8 kHz."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.round(clip * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def _tone(digit: int, rng: np.random.Generator) -> np.ndarray:
    length = round(rng.uniform(*_TONE_SECONDS) * SAMPLE_RATE)
    twist = _from_db(rng.uniform(-_TWIST_DB, _TWIST_DB))  # high amplitude / low amplitude
    peak = _from_db(rng.uniform(*_LEVEL_DB))
    low, high = (f * (1 + rng.uniform(-_FREQUENCY_ERROR, _FREQUENCY_ERROR)) for f in frequencies(digit))
    both = _sine(low, length, rng) / (1 + twist) + _sine(high, length, rng) * twist / (1 + twist)
    return peak * both * _envelope(length, rng)


def _envelope(length: int, rng: np.random.Generator) -> np.ndarray:
    """1, with raised-cosine flanks of a few milliseconds on both sides."""
    flank = round(rng.uniform(*_ONSET_SECONDS) * SAMPLE_RATE)
    rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(flank) + 0.5) / flank)
    return np.concatenate([rise, np.ones(length - 2 * flank), rise[::-1]])


def _sine(frequency: float, length: int, rng: np.random.Generator) -> np.ndarray:
    """A sine of amplitude 1 and random phase."""
    return np.sin(2 * np.pi * (frequency * np.arange(length) / SAMPLE_RATE + rng.random()))


def _from_db(decibel: float) -> float:
    """The amplitude ratio of a level in dB."""
    return float(10 ** (decibel / 20))
