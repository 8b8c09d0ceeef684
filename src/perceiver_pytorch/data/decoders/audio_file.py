"""Decode sound files with libsndfile, mixed to one channel and resampled."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import need


@dataclass(frozen=True)
class AudioFacts:
    """What a sound file's header says: its rate in Hz and its length in seconds."""

    sample_rate: int
    seconds: float

    @classmethod
    def look(cls, data: bytes | Path) -> "AudioFacts":
        """Read the header of a sound file, given its bytes or its path.

        Raises:
            ValueError: it is not a sound file that libsndfile can read.
        """
        with _opened(data) as file:
            return cls(file.samplerate, file.frames / file.samplerate)


def read_audio(data: bytes | Path, sample_rate: int, max_samples: int) -> tuple[np.ndarray, bool]:
    """Decode the start of a sound file.

    Args:
        data: the file's bytes, or its path.
        sample_rate: the rate to resample to, in Hz.
        max_samples: keep this many samples of that rate at most (no more than needed is decoded).

    Returns:
        float32 (samples,) in -1..1, the mean of all channels; and whether the clip was longer.

    Raises:
        ValueError: it is damaged or empty, or has samples that are not finite.
    """
    with _opened(data) as file:
        rate = file.samplerate
        # A tenth of a second more, so that the resampling filter sees the samples behind the cut.
        frames = min(file.frames, -(-max_samples * rate // sample_rate) + rate // 10)
        longer = file.frames * sample_rate > max_samples * rate
        try:
            sound = file.read(frames, dtype="float32", always_2d=True).mean(axis=1)
        except Exception as error:  # libsndfile's own errors and those of its Python face
            raise ValueError(f"the sound cannot be decoded ({error})") from error
    if not len(sound):
        raise ValueError("the sound has no samples")
    if not np.isfinite(sound).all():
        raise ValueError("the sound has samples that are not finite numbers")
    if rate != sample_rate:
        sound = need("soxr", "resample sound").resample(sound, rate, sample_rate)
    return sound[:max_samples], longer


def _opened(data: bytes | Path) -> Any:
    soundfile = need("soundfile", "decode sound")
    try:
        return soundfile.SoundFile(BytesIO(data) if isinstance(data, bytes) else data)
    except Exception as error:
        raise ValueError(f"the sound cannot be decoded ({error})") from error
