"""Decode sound files with libsndfile, or FFmpeg's libraries where it cannot, mixed and resampled."""

import math
import re
from collections.abc import Iterator
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
    decoded = Decoded.of(source, max_samples / sample_rate, channels, most)
    parts = list(decoded)
    sound = np.concatenate(parts) if parts else np.zeros((0, channels), np.float32)
    decoded.check(len(sound))
    if decoded.rate != sample_rate:
        try:
            sound = need("soxr", "resample sound").resample(sound, decoded.rate, sample_rate)
        except Exception as error:  # soxr's own
            raise _not_resampled(decoded.rate, sample_rate, error) from error
        if not len(sound):
            raise ValueError(f"the sound is shorter than one sample at {sample_rate} Hz")
    return Sound(sound[:max_samples], decoded.longer, decoded.incomplete)


class Samples:
    """What `read_audio` gives, part after part, of which one is in memory; arguments and errors as there.

    Attributes:
        count: samples that were given.
        loudest: the largest of them, as an absolute value.
        decoded: what is decoded; at the end it knows whether the sound is longer or incomplete.
    """

    def __init__(
        self, source: bytes | Path, sample_rate: int, max_samples: int, channels: int = 1, most: int = CELL_BYTES
    ) -> None:
        self.sample_rate, self.max_samples, self.channels = sample_rate, max_samples, channels
        self.decoded = Decoded.of(source, max_samples / sample_rate, channels, most, at_once=False)
        self.count, self.loudest = 0, 0.0

    def __iter__(self) -> "Iterator[np.ndarray]":
        for part in self._resampled():
            part = part[: self.max_samples - self.count]
            if len(part):
                self.count += len(part)
                self.loudest = max(self.loudest, float(np.abs(part).max()))
                yield part

    def _resampled(self) -> "Iterator[np.ndarray]":
        stream, read = None, 0
        for part in self.decoded:
            if stream is None and self.decoded.rate != self.sample_rate:
                stream = self._resampler(self.decoded.rate)
            read += len(part)
            yield part if stream is None else stream.resample_chunk(np.ascontiguousarray(part))
        self.decoded.check(read)
        if stream is not None:
            yield stream.resample_chunk(np.zeros((0, self.channels), np.float32), last=True)

    def _resampler(self, rate: int) -> Any:
        try:
            return need("soxr", "resample sound").ResampleStream(rate, self.sample_rate, self.channels)
        except Exception as error:
            raise _not_resampled(rate, self.sample_rate, error) from error


def _not_resampled(rate: int, wanted: int, error: Exception) -> ValueError:
    return ValueError(f"the sound cannot be resampled from {rate} to {wanted} Hz ({error})")


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


class Decoded:
    """A sound's beginning as its file has it, part after part.

    Args:
        seconds: that are wanted of it.
        channels: that are wanted.
        most: bytes that decoding may take.
        at_once: all of it is to be in memory together.

    Attributes:
        rate: in Hz, once the first part is there.
        longer: at the end, whether it is longer than `seconds`.
        incomplete: at the end, whether it was cut off before them.
    """

    def __init__(self, seconds: float, channels: int, most: int, at_once: bool) -> None:
        self.seconds, self.channels, self.most, self.at_once = seconds, channels, most, at_once
        self.rate, self.longer, self.incomplete = 0, False, False

    @staticmethod
    def of(source: bytes | Path, seconds: float, channels: int, most: int, at_once: bool = True) -> "Decoded":
        """A file's."""
        file = _libsndfile(source)
        if file is None:
            return _OfAv(source, seconds, channels, most, at_once)
        return _OfSndfile(file, seconds, channels, most, at_once)

    def __iter__(self) -> "Iterator[np.ndarray]":
        for part in self._parts():
            if not np.isfinite(part).all():
                raise ValueError("the sound has samples that are not finite numbers")
            yield part

    def check(self, length: int) -> None:
        """Raises a `ValueError` for a sound that had no samples."""
        if not length:
            raise ValueError("the sound has no samples")

    def _parts(self) -> "Iterator[np.ndarray]":
        raise NotImplementedError

    def _claim(self, length: int) -> None:
        """Twice, since it is also resampled."""
        if self.at_once:
            told = f"{length / self.rate:.0f} s at {self.rate} Hz"
            claim("the sound", told, 8 * length * self.channels, self.most)


class _OfSndfile(Decoded):
    def __init__(self, file: Any, seconds: float, channels: int, most: int, at_once: bool) -> None:
        self.file = file
        super().__init__(seconds, channels, most, at_once)

    def _parts(self) -> "Iterator[np.ndarray]":
        with self.file as file:
            self.rate = _checked_rate(file.samplerate)
            wanted = min(file.frames, math.ceil((self.seconds + _MARGIN) * self.rate))
            self._claim(wanted)
            length, block = 0, max(1, _VALUES // file.channels)
            while length < wanted:
                try:
                    part = file.read(min(wanted - length, block), dtype="float32", always_2d=True)
                except Exception as error:
                    raise ValueError(f"the sound cannot be decoded ({error})") from error
                if not len(part):
                    break
                length += len(part)
                yield _mixed(part, self.channels)
            self.longer = file.frames / self.rate > self.seconds
            self.incomplete = length < wanted or (_is_cut_off(file) and not self.longer)


def _is_cut_off(file: Any) -> bool:
    """Whether the header claims more samples than there are."""
    sizes = _CLAIM.search(file.extra_info)
    claimed, there = map(int, sizes.groups()) if sizes else (0, 0)
    return claimed < _UNKNOWN and 2 * file.frames * (claimed - there) > there  # by more than half a sample


class _OfAv(Decoded):
    """What a codec adds before and behind a sound to fill its frames does not make it longer."""

    def __init__(self, source: bytes | Path, seconds: float, channels: int, most: int, at_once: bool) -> None:
        self.source = source
        super().__init__(seconds, channels, most, at_once)

    def _parts(self) -> "Iterator[np.ndarray]":
        av = need("av", "decode sound")
        with av_file.opened(self.source, "sound", self.most) as container:
            stream = _stream(container, self.most)
            rate = self.rate = _checked_rate(stream.rate)
            length, given = 0, 0  # without and with the silence before it
            margin = max(_FRAMES, math.ceil(_MARGIN * rate))
            enough = math.ceil(self.seconds * rate) + margin
            claimed = _claimed(container, stream, self.source) * rate
            resampler = av.AudioResampler(
                format="flt", rate=rate
            )  # PyAV reads what it should not of more than 8 planes
            for frame in container.decode(stream):
                lead = 0 if given else round(_lead(container, frame, self.seconds) * rate)
                parts = [np.zeros((lead, self.channels), np.float32)]
                for part in resampler.resample(frame):
                    samples = part.to_ndarray().reshape(part.samples, -1)
                    # The sum of a sample goes by channel.
                    parts.append(_mixed(np.asfortranarray(samples), self.channels))
                whole = np.concatenate(parts)[: max(0, enough - given)]
                length, given = length + sum(map(len, parts[1:])), given + len(whole)
                self._claim(length)
                yield whole
                if length > enough:
                    break
            self.longer = length > enough
            self.incomplete = length < min(claimed, self.seconds * rate) - margin


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
