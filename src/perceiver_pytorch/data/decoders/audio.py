"""Audio columns and sound tracks: one rate, standardised, cut into patches of samples or log-mel energies."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..cells import Where, media_source
from ..options import SpecOptions
from .audio_file import AudioFacts, NoSoundError, read_audio
from .base import Encoded, Spec, check_positive, clock_grid, clock_note, clock_resolution
from .mel import log_mel

_MAX_RATE = 16000  # Hz: speech; a higher rate costs tokens and is chosen by hand


@dataclass(frozen=True)
class AudioSpec(Spec):
    """One column of sounds as at most `num_samples / patch` tokens.

    Attributes:
        name: the modality's name, and the column's where `track_of` is empty.
        sample_rate: in Hz; every clip is resampled to it.
        num_samples: a multiple of `patch`; longer clips lose their end.
        patch: samples per token, or from one log-mel token to the next.
        mean, std: of all values (samples or log-mel energies), by which they are standardised.
        sides: 1 (mono) or 2 (stereo).
        mel_bands: bands of a log-mel token; 0: tokens of raw samples.
        mel_window: samples that a log-mel token is computed from; 0 without.
        track_of: the video column whose sound track this is, or empty.
        clock: seconds of the time axis shared with other modalities; 0: its own.
    """

    name: str
    sample_rate: int
    num_samples: int
    patch: int
    mean: float = 0.0
    std: float = 1.0
    sides: int = 1
    mel_bands: int = 0
    mel_window: int = 0
    track_of: str = ""
    clock: float = 0.0

    kind: ClassVar[str] = "audio"
    dtype: ClassVar[str] = "float32"

    def __post_init__(self) -> None:
        check_positive(self, "sample_rate", "num_samples", "patch", "std", *(["mel_window"] if self.mel_bands else []))
        if self.num_samples % self.patch:
            raise ValueError(f"a multiple of the patch {self.patch} was expected, got {self.num_samples} samples")
        if self.sides not in (1, 2):
            raise ValueError(f"sides was expected to be 1 or 2, got {self.sides}")

    @classmethod
    def fit(
        cls,
        name: str,
        headers: Iterable[AudioFacts],
        clips: Iterable[bytes | Path],
        options: SpecOptions,
        track_of: str = "",
    ) -> AudioSpec:
        """Learn rate and length from the headers (at least one) and mean and std from the clips."""
        facts = list(headers)
        (common, _), *_ = Counter(fact.sample_rate for fact in facts).most_common(1)
        rate = options.sample_rate or min(common, _MAX_RATE)
        seconds = min(max(fact.seconds for fact in facts), options.max_audio_seconds)
        mel = options.audio_features == "logmel"
        patch = max(1, round(options.mel_step * rate)) if mel else options.audio_patch
        # The small number keeps the rounding of seconds from adding a sample.
        num_patches = max(1, math.ceil((seconds * rate - 1e-6) / patch))
        spec = cls(
            name,
            rate,
            num_patches * patch,
            patch,
            sides=options.audio_channels,
            mel_bands=options.mel_bands if mel else 0,
            mel_window=max(2, round(options.mel_window * rate)) if mel else 0,
            track_of=track_of,
        )
        mean, std = _moments(spec, clips)
        return replace(spec, mean=mean, std=std)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.track_of or self.name,)

    @property
    def axes(self) -> tuple[int, ...]:
        return (self.num_samples // self.patch,)

    @property
    def channels(self) -> int:
        return self.sides * (self.mel_bands or self.patch)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.num_tokens, self.channels)

    @property
    def seconds(self) -> float:
        """Of the longest clip."""
        return self.num_samples / self.sample_rate

    @property
    def resolution(self) -> float:
        return clock_resolution(self, self.patch / self.sample_rate)

    def grid(self, axis: int) -> np.ndarray | None:
        return clock_grid(self, self.patch / self.sample_rate)

    def encode(self, row: Mapping[str, Any], where: Where) -> Encoded | None:
        """float32 (tokens, patch * sides) or (tokens, mel_bands * sides); zeros fill the last patch.

        A video without a sound track has no sound: None.
        """
        (column,) = self.columns
        source = media_source(row[column], column, where)
        if source is None:
            return None
        try:
            sound, longer = read_audio(source, self.sample_rate, self.num_samples, self.sides)
        except NoSoundError as error:
            if self.track_of:
                return None
            raise where.error(column, str(error), row[column]) from error
        except ValueError as error:
            raise where.error(column, str(error), row[column]) from error
        return Encoded(self.standardised(self.features(sound)), changes=("cut",) if longer else ())

    def features(self, sound: np.ndarray) -> np.ndarray:
        """Samples (samples, sides) as tokens (tokens, channels), of a patch sample by sample, side by side."""
        if self.mel_bands:
            energies = log_mel(sound, self.sample_rate, self.mel_bands, self.mel_window, self.patch)
            return energies.reshape(len(energies), self.channels)
        missing = -len(sound) % self.patch
        # What fills the last patch is zero once it is standardised.
        filled = np.pad(sound, ((0, missing), (0, 0)), constant_values=self.mean) if missing else sound
        return filled.reshape(-1, self.channels)

    def standardised(self, features: np.ndarray) -> np.ndarray:
        return ((features - np.float32(self.mean)) / np.float32(self.std)).astype(np.float32)

    def note(self) -> str:
        sides = "mono" if self.sides == 1 else "stereo"
        bands = f"{self.mel_bands} log-mel bands every {self.patch} samples"
        tokens = bands if self.mel_bands else f"{self.patch} samples a token"
        return f"{self.seconds:.2f} s at {self.sample_rate} Hz, {sides}, {tokens}{clock_note(self)}"


def _moments(spec: AudioSpec, clips: Iterable[bytes | Path]) -> tuple[float, float]:
    """Mean and standard deviation of all values of the clips, (0, 1) of silence."""
    count, total, squares = 0, 0.0, 0.0
    for clip in clips:
        with contextlib.suppress(ValueError):  # a broken clip is reported when its row is decoded
            sound, _ = read_audio(clip, spec.sample_rate, spec.num_samples, spec.sides)
            values = (spec.features(sound) if spec.mel_bands else sound).astype(np.float64)
            count, total, squares = count + values.size, total + values.sum(), squares + (values**2).sum()
    if not count:
        return 0.0, 1.0
    mean = total / count
    std = math.sqrt(max(0.0, squares / count - mean**2))
    return (float(mean), std) if std > 1e-8 else (0.0, 1.0)
