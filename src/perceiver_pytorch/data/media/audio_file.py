"""Decode sound files with libsndfile, or FFmpeg's libraries where it cannot, mixed and resampled."""

import math
import re
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
_CLAIM = re.compile(r"^ *(?:data|SSND|BODY|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
"""How libsndfile's notes on a file say that its header claims another number of bytes than there are."""
_XING = re.compile(b"Xing|Info")  # begins the part of an MP3 file that says how long it is
_TAGS = 1 << 20  # bytes of an MP3 file, with pictures and the like, before that
_LENGTH = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")
_UNKNOWN = 0x7FFF0000  # bytes: whoever writes into a pipe claims that many or more


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


@dataclass(frozen=True, eq=False)
class Sound:
    """Samples float32 (samples, channels) in -1..1; whether the clip is longer, and whether its file was cut off: its
    header says that there is more."""

    samples: "np.ndarray"
    longer: bool
    incomplete: bool


def read_audio(
    source: bytes | Path, sample_rate: int, max_samples: int, channels: int = 1, most: int = CELL_BYTES
) -> Sound:
    """Decode the start of a sound file, or of a video's sound track.

    Args:
        source: the file's bytes, or its path.
        sample_rate: the rate to resample to, in Hz.
        max_samples: keep this many samples of that rate at most (no more than needed is decoded).
        channels: 1: the mean of all channels; 2: stereo as it is, anything else as its mean on both sides.
        most: bytes that decoding may take.

    Raises:
        NoSoundError: it has no sound track.
        ValueError: it is damaged or empty, has samples that are not finite, or takes more memory.
    """
    seconds = max_samples / sample_rate
    file = _libsndfile(source)
    if file is None:
        sound, rate, longer, incomplete = _read_av(source, seconds, channels, most)
    else:
        sound, rate, longer, incomplete = _read_sndfile(file, seconds, channels, most)
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
    return Sound(sound[:max_samples], longer, incomplete)


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


def _beginning(source: bytes | Path, size: int = 16) -> bytes:
    if isinstance(source, bytes):
        return source[:size]
    with source.open("rb") as file:
        return file.read(size)


def _read_sndfile(file: Any, seconds: float, channels: int, most: int) -> "tuple[np.ndarray, int, bool, bool]":
    """The sound's beginning, its rate, whether it is longer than `seconds`, and whether it was cut off before them."""
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
        longer = file.frames / rate > seconds
        return sound[:length], rate, longer, length < wanted or (_is_cut_off(file) and not longer)


def _is_cut_off(file: Any) -> bool:
    """Whether the header claims more samples than there are."""
    sizes = _CLAIM.search(file.extra_info)
    claimed, there = map(int, sizes.groups()) if sizes else (0, 0)
    return claimed < _UNKNOWN and 2 * file.frames * (claimed - there) > there  # by more than half a sample


def _read_av(source: bytes | Path, seconds: float, channels: int, most: int) -> "tuple[np.ndarray, int, bool, bool]":
    """The same; what a codec adds before and behind a sound to fill its frames does not make it longer."""
    av = need("av", "decode sound")
    parts: "list[np.ndarray]" = []
    with av_file.opened(source, "sound", most) as container:
        stream = _stream(container, most)
        rate, length = _checked_rate(stream.rate), 0
        margin = max(_FRAMES, math.ceil(_MARGIN * rate))
        enough, claimed = math.ceil(seconds * rate) + margin, _claimed(container, stream, source) * rate
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
    return sound[:enough], rate, length > enough, length < min(claimed, seconds * rate) - margin


def _claimed(container: Any, stream: Any, source: bytes | Path) -> float:
    """Seconds of sound by the header; 0 where it does not say: FFmpeg then goes by what there is."""
    name = container.format.name
    if name == "caf":
        return float(max(av_file.seconds(container, stream) or 0, stream.frames / stream.rate))
    if name == "mp3" and _XING.search(_beginning(source, _TAGS)):
        return av_file.seconds(container, stream) or 0.0
    if "matroska" in name and (length := _LENGTH.fullmatch(stream.metadata.get("DURATION", ""))):
        hours, minutes, seconds = map(float, length.groups())
        return 3600 * hours + 60 * minutes + seconds
    return 0.0


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
