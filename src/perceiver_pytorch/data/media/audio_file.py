"""Decode sound files with libsndfile, or FFmpeg's libraries where it cannot, mixed and resampled."""

import math
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch.data.cell_memory import CELL_BYTES, claim
from perceiver_pytorch.data.errors import need
from perceiver_pytorch.data.media import av_file
from perceiver_pytorch.data.sniff import is_mpeg_audio

_MARGIN = 0.1  # seconds decoded behind a cut, so that the resampling filter sees the samples there
_FRAMES = 2500  # samples: two frames of AAC or MP3 and some
_MAX_RATE = 1 << 20  # Hz; a header that says more is damaged
_VALUES = 1 << 20  # samples of all channels together that are read at a time


class NoSoundError(ValueError):
    """The file has no sound track."""


@dataclass(frozen=True)
class AudioFacts:
    """What a sound file's header says: its rate in Hz and its length in seconds (infinite where it does not say)."""

    sample_rate: int
    seconds: float

    @classmethod
    def look(cls, source: bytes | Path, most: int = CELL_BYTES) -> "AudioFacts":
        """Read the header of a sound file or of a video's sound track, given its bytes or its path.

        Raises:
            NoSoundError: it has no sound track.
            ValueError: it cannot be read.
        """
        file = _libsndfile(source)
        if file is not None:
            with file:
                return cls(file.samplerate, file.frames / file.samplerate)
        with av_file.opened(source, "sound", most) as container:
            stream = _stream(container, most)
            return cls(stream.rate, av_file.seconds(container, stream) or math.inf)


def read_audio(
    source: bytes | Path, sample_rate: int, max_samples: int, channels: int = 1, most: int = CELL_BYTES
) -> "tuple[np.ndarray, bool]":
    """Decode the start of a sound file, or of a video's sound track.

    Args:
        source: the file's bytes, or its path.
        sample_rate: the rate to resample to, in Hz.
        max_samples: keep this many samples of that rate at most (no more than needed is decoded).
        channels: 1: the mean of all channels; 2: stereo as it is, anything else as its mean on both sides.
        most: bytes that decoding may take.

    Returns:
        float32 (samples, channels) in -1..1; and whether the clip was longer.

    Raises:
        NoSoundError: it has no sound track.
        ValueError: it is damaged or empty, has samples that are not finite, or takes more memory.
    """
    seconds = max_samples / sample_rate
    file = _libsndfile(source)
    if file is None:
        sound, rate, longer = _read_av(source, seconds, channels, most)
    else:
        sound, rate, longer = _read_sndfile(file, seconds, channels, most)
    if not len(sound):
        raise ValueError("the sound has no samples")
    if not np.isfinite(sound).all():
        raise ValueError("the sound has samples that are not finite numbers")
    if rate != sample_rate:
        try:
            sound = need("soxr", "resample sound").resample(sound, rate, sample_rate)
        except Exception as error:  # soxr's own
            raise ValueError(f"the sound cannot be resampled from {rate} to {sample_rate} Hz ({error})") from error
        if not len(sound):
            raise ValueError(f"the sound is shorter than one sample at {sample_rate} Hz")
    return sound[:max_samples], longer


def _libsndfile(source: bytes | Path) -> Any:
    """The file opened by libsndfile; None where it cannot, as with AAC and videos.

    MP3 is left to FFmpeg: libsndfile's decoder writes what it finds wrong with a file to the terminal.
    """
    soundfile = need("soundfile", "decode sound")
    try:
        if is_mpeg_audio(_beginning(source)):
            return None
        return soundfile.SoundFile(BytesIO(source) if isinstance(source, bytes) else source)
    except Exception:  # libsndfile's own errors and those of its Python face
        return None


def _beginning(source: bytes | Path) -> bytes:
    if isinstance(source, bytes):
        return source[:16]
    with source.open("rb") as file:
        return file.read(16)


def _read_sndfile(file: Any, seconds: float, channels: int, most: int) -> "tuple[np.ndarray, int, bool]":
    """The sound's beginning, its rate, and whether it is longer than `seconds`."""
    with file:
        rate = _checked_rate(file.samplerate)
        wanted = min(file.frames, math.ceil((seconds + _MARGIN) * rate))
        _claim(wanted, rate, channels, most)
        sound = np.empty((wanted, channels), np.float32)
        length, block = 0, max(1, _VALUES // file.channels)
        try:
            while length < wanted:
                part = file.read(min(wanted - length, block), dtype="float32", always_2d=True)
                if not len(part):
                    break
                sound[length : length + len(part)] = _mixed(part, channels)
                length += len(part)
        except Exception as error:
            raise ValueError(f"the sound cannot be decoded ({error})") from error
        return sound[:length], rate, file.frames / rate > seconds


def _read_av(source: bytes | Path, seconds: float, channels: int, most: int) -> "tuple[np.ndarray, int, bool]":
    """The same; what a codec adds before and behind a sound to fill its frames does not make it longer."""
    av = need("av", "decode sound")
    parts: "list[np.ndarray]" = []
    with av_file.opened(source, "sound", most) as container:
        stream = _stream(container, most)
        rate, length = _checked_rate(stream.rate), 0
        enough = math.ceil(seconds * rate) + max(_FRAMES, math.ceil(_MARGIN * rate))
        resampler = av.AudioResampler(format="flt", rate=rate)  # PyAV reads what it should not of more than 8 planes
        for frame in container.decode(stream):
            if not parts:
                lead = _lead(container, frame, seconds)
                parts.append(np.zeros((round(lead * rate), channels), np.float32))
            for part in resampler.resample(frame):
                samples = part.to_ndarray().reshape(part.samples, -1)
                parts.append(_mixed(np.asfortranarray(samples), channels))  # the sum of a sample goes by channel
                length += len(parts[-1])
            _claim(length, rate, channels, most)
            if length > enough:
                break
    sound = np.concatenate(parts) if parts else np.zeros((0, channels), np.float32)
    return sound[:enough], rate, length > enough


def _lead(container: Any, frame: Any, at_most: float) -> float:
    """Seconds of silence before a sound track that begins after its picture."""
    if frame.time is None:
        return 0.0
    return min(max(0.0, frame.time - av_file.start(container)), at_most)


def _claim(length: int, rate: int, channels: int, most: int) -> None:
    """Twice, since it is also resampled."""
    claim("the sound", f"{length / rate:.0f} s at {rate} Hz", 8 * length * channels, most)


def _stream(container: Any, most: int) -> Any:
    streams = container.streams.audio
    if not streams:
        raise NoSoundError("the file has no sound track")
    av_file.check_codec(streams[0], "sound")
    if not streams[0].rate:
        raise ValueError("the sound cannot be decoded (its rate is unknown)")
    number = streams[0].channels
    claim("the sound", f"{number} channels", 4 * number * _checked_rate(streams[0].rate), most)
    return streams[0]


def _checked_rate(rate: int) -> int:
    if not 0 < rate <= _MAX_RATE:
        raise ValueError(f"the sound cannot be decoded (a rate of {rate} Hz)")
    return rate


def _mixed(sound: "np.ndarray", channels: int) -> "np.ndarray":
    """(samples, any channels) to the given number."""
    if sound.shape[1] == channels:
        return sound
    mono = sound.mean(axis=1, dtype=np.float32, keepdims=True)
    return np.repeat(mono, channels, axis=1)
