"""Audio columns: one channel, one rate, standardised, cut into patches."""

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
from .audio_file import AudioFacts, read_audio
from .base import Encoded, Spec, check_positive

_MAX_RATE = 16000  # Hz: speech; a higher rate costs tokens and is chosen by hand


@dataclass(frozen=True)
class AudioSpec(Spec):
    """One audio column as `num_samples / patch` tokens of `patch` samples.

    Attributes:
        name: the modality's and the column's name.
        sample_rate: in Hz; every clip is resampled to it.
        num_samples: a multiple of `patch`; shorter clips are padded with zeros behind, longer ones lose their end.
        patch: samples per token.
        mean, std: of all samples, by which they are standardised.
    """

    name: str
    sample_rate: int
    num_samples: int
    patch: int
    mean: float = 0.0
    std: float = 1.0

    kind: ClassVar[str] = "audio"
    dtype: ClassVar[str] = "float32"

    def __post_init__(self) -> None:
        check_positive(self, "sample_rate", "num_samples", "patch", "std")
        if self.num_samples % self.patch:
            raise ValueError(f"a multiple of the patch {self.patch} was expected, got {self.num_samples} samples")

    @classmethod
    def fit(
        cls,
        name: str,
        headers: Iterable[AudioFacts],
        clips: Iterable[bytes | Path],
        *,
        sample_rate: int | None,
        audio_patch: int,
        max_audio_seconds: float,
    ) -> AudioSpec:
        """Learn rate and length from the headers (at least one) and mean and std from the clips."""
        facts = list(headers)
        (common, _), *_ = Counter(fact.sample_rate for fact in facts).most_common(1)
        rate = sample_rate or min(common, _MAX_RATE)
        seconds = min(max(fact.seconds for fact in facts), max_audio_seconds)
        # The small number keeps the rounding of seconds from adding a sample.
        num_patches = max(1, math.ceil((seconds * rate - 1e-6) / audio_patch))
        spec = cls(name, rate, num_patches * audio_patch, audio_patch)
        mean, std = _moments(clips, rate, spec.num_samples)
        return replace(spec, mean=mean, std=std)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def axes(self) -> tuple[int, ...]:
        return (self.num_samples // self.patch,)

    @property
    def channels(self) -> int:
        return self.patch

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.num_tokens, self.patch)

    def encode(self, row: Mapping[str, Any], where: Where) -> Encoded | None:
        """float32 (samples / patch, patch); zeros fill the last patch."""
        data = media_source(row[self.name], self.name, where)
        if data is None:
            return None
        try:
            sound, longer = read_audio(data, self.sample_rate, self.num_samples)
        except ValueError as error:
            raise where.error(self.name, str(error)) from error
        num_tokens = -(-len(sound) // self.patch)
        values = np.zeros(num_tokens * self.patch, dtype=np.float32)
        values[: len(sound)] = (sound - self.mean) / self.std
        return Encoded(values.reshape(num_tokens, self.patch), changes=("cut",) if longer else ())

    def note(self) -> str:
        seconds = self.num_samples / self.sample_rate
        return f"{seconds:.2f} s at {self.sample_rate} Hz, {self.patch} samples a token"


def _moments(clips: Iterable[bytes | Path], rate: int, num_samples: int) -> tuple[float, float]:
    """Mean and standard deviation of all samples of the clips, (0, 1) of silence."""
    sounds = [np.zeros(0, dtype=np.float32)]
    for clip in clips:
        with contextlib.suppress(ValueError):  # a broken clip is reported when its row is decoded
            sounds.append(read_audio(clip, rate, num_samples)[0])
    samples = np.concatenate(sounds).astype(np.float64)
    std = float(samples.std()) if len(samples) else 0.0
    return (float(samples.mean()), std) if std > 1e-8 else (0.0, 1.0)
