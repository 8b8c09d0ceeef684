"""Audio columns and sound tracks: one rate, standardised, cut into patches of samples or log-mel energies."""

import contextlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from einops import rearrange

from perceiver_pytorch import _checks
from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch._settings import Settings, knob
from perceiver_pytorch.data import drawing
from perceiver_pytorch.data.cell_memory import CELL_BYTES
from perceiver_pytorch.data.cells import Where, media_source
from perceiver_pytorch.data.column import Column
from perceiver_pytorch.data.kinds.base import CUT, ColumnSpec, Encoded, Kind, ModalitySpec, Part, check_positive
from perceiver_pytorch.data.kinds.clock import clock_grid, clock_note, clock_resolution
from perceiver_pytorch.data.media import decoding
from perceiver_pytorch.data.media.audio_file import AudioFacts, NoSoundError
from perceiver_pytorch.data.media.mel import log_mel
from perceiver_pytorch.data.train_rows import TrainRows

if TYPE_CHECKING:
    from torch import Tensor

_MAX_RATE = 16000  # Hz: speech; a higher rate costs tokens and is chosen by hand
_NUM_CLIPS = 512  # clips decoded for mean and standard deviation (all headers are read)


@dataclass(frozen=True, kw_only=True)
class AudioSettings(Settings):
    """How sounds become arrays."""

    sample_rate: int | None = knob(None, "rate of every sound in Hz; null: the most common, at most 16000", above=0)
    audio_channels: int = knob(1, "1: mono, 2: stereo", choices=(1, 2))
    audio_features: str = knob("raw", "sound tokens: samples, or log-mel energies", choices=("raw", "logmel"))
    audio_patch: int = knob(32, "samples per raw sound token", above=0)
    mel_bands: int = knob(64, "bands of a log-mel token", above=0)
    mel_window: float = knob(0.025, "seconds of sound in a log-mel token", above=0)
    mel_step: float = knob(0.010, "seconds from one log-mel token to the next", above=0)
    max_audio_seconds: float = knob(10.0, "longer sounds lose their end", above=0)


@dataclass(frozen=True, kw_only=True)
class AudioAugmentation(Settings):
    """How sounds change at random."""

    audio_shift: float = knob(0.1, "raw sounds: move by up to this share of their length", least=0, most=1)
    audio_gain: float = knob(6.0, "raw sounds: make louder or softer by up to this many decibels", least=0)
    audio_noise: float = knob(0.05, "raw sounds: add white noise of up to this share of the usual deviation", least=0)
    spec_time: float = knob(0.1, "log-mel sounds: blank a stretch of up to this share of the time", least=0, most=1)
    spec_bands: float = knob(0.2, "log-mel sounds: blank a range of up to this share of the bands", least=0, most=1)


@dataclass(frozen=True)
class AudioSpec(ColumnSpec):
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
    changes: ClassVar[Mapping[str, str]] = {
        "cut": CUT,
        "incomplete": "lack their end: their files were cut off, and have fewer samples than they say",
    }

    def __post_init__(self) -> None:
        check_positive(self, "sample_rate", "num_samples", "patch", "std", *(["mel_window"] if self.mel_bands else []))
        if self.num_samples % self.patch:
            raise ValueError(f"num_samples must be a multiple of the patch {self.patch}, got {self.num_samples}")
        _checks.choice("sides", self.sides, (1, 2))

    @classmethod
    def fit(
        cls,
        name: str,
        headers: Iterable[AudioFacts],
        clips: Iterable[bytes | Path],
        options: AudioSettings,
        track_of: str = "",
        cell_bytes: int = CELL_BYTES,
    ) -> "AudioSpec":
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
        mean, std = _moments(spec, clips, cell_bytes)
        return replace(spec, mean=mean, std=std)

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        return (self.track_of or self.name,)

    @property
    def axes(self) -> tuple[int, ...]:
        return (self.num_samples // self.patch,)

    @property
    def channels(self) -> int:
        return self.sides * (self.mel_bands or self.patch)

    @property
    def seconds(self) -> float:
        """Of the longest clip."""
        return self.num_samples / self.sample_rate

    @property
    def resolution(self) -> float:
        return clock_resolution(self, self.patch / self.sample_rate)

    def grid(self, axis: int) -> "np.ndarray | None":
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
            sound = decoding.audio(source, self.sample_rate, self.num_samples, self.sides, where.cell_bytes)
        except NoSoundError as error:
            if self.track_of:
                return None
            raise where.error(column, str(error), row[column]) from error
        except ValueError as error:
            raise where.error(column, str(error), row[column]) from error
        changes = tuple(name for name, told in (("cut", sound.longer), ("incomplete", sound.incomplete)) if told)
        return Encoded(self.standardised(self.features(sound.samples)), changes=changes)

    def features(self, sound: "np.ndarray") -> "np.ndarray":
        """Samples (samples, sides) as tokens (tokens, channels), of a patch sample by sample, side by side."""
        if self.mel_bands:
            energies = log_mel(sound, self.sample_rate, self.mel_bands, self.mel_window, self.patch)
            return energies.reshape(len(energies), self.channels)
        missing = -len(sound) % self.patch
        # What fills the last patch is zero once it is standardised.
        filled = np.pad(sound, ((0, missing), (0, 0)), constant_values=self.mean) if missing else sound
        return filled.reshape(-1, self.channels)

    def standardised(self, features: "np.ndarray") -> "np.ndarray":
        return ((features - np.float32(self.mean)) / np.float32(self.std)).astype(np.float32)

    def note(self) -> str:
        sides = "mono" if self.sides == 1 else "stereo"
        bands = f"{self.mel_bands} log-mel bands every {self.patch} samples"
        tokens = bands if self.mel_bands else f"{self.patch} samples a token"
        return f"{self.seconds:.2f} s at {self.sample_rate} Hz, {sides}, {tokens}{clock_note(self)}"

    def augmented(self, values: "Tensor", mask: "Tensor | None", settings: AudioAugmentation) -> "Tensor":
        """SpecAugment of log-mel tokens; shift, gain and noise of samples."""
        import torch

        from perceiver_pytorch.data import random_changes as change

        (lengths,) = change.extents(values, mask, axes=1)
        if self.mel_bands:
            return self._blanked(values, lengths, settings)
        samples = rearrange(values, "b n (p s) -> b (n p) s", s=self.sides)
        if settings.audio_shift:
            samples = change.shifted(samples, lengths * self.patch, settings.audio_shift)
        size = (len(values), 1, 1)
        gain = 10 ** (change.uniform(size, values, -settings.audio_gain, settings.audio_gain) / 20)
        noise = torch.randn_like(samples) * change.uniform(size, values, 0.0, settings.audio_noise)
        real = (torch.arange(samples.shape[1], device=values.device) < (lengths * self.patch)[:, None])[..., None]
        return rearrange(torch.where(real, samples * gain + noise, samples), "b (n p) s -> b n (p s)", p=self.patch)

    def _blanked(self, values: "Tensor", lengths: "Tensor", settings: AudioAugmentation) -> "Tensor":
        """A stretch of time and a range of bands set to the mean (SpecAugment, Park et al. 2019, arXiv 1904.08779)."""
        import torch

        from perceiver_pytorch.data.random_changes import stretch

        energies = rearrange(values, "b n (s f) -> b n s f", s=self.sides)
        time = stretch(lengths, values.shape[1], settings.spec_time)[:, :, None, None]
        every = torch.full_like(lengths, self.mel_bands)
        bands = stretch(every, self.mel_bands, settings.spec_bands)[:, None, None, :]
        return rearrange(energies.masked_fill(time | bands, 0.0), "b n s f -> b n (s f)")

    def example(self, encoded: Encoded, row: Mapping[str, Any]) -> list[Part]:
        """The sound; of log-mel energies a picture: time to the right, low bands below, stereo one above the other."""
        if self.mel_bands:
            energies = rearrange(encoded.values, "t (s b) -> (s b) t", s=self.sides)[::-1]
            return [{"kind": "image", "name": self.name, "value": drawing.heat_map(energies)}]
        sound = encoded.values.reshape(-1, self.sides) * self.std + self.mean
        return [{"kind": "audio", "name": self.name, "value": drawing.wav(sound, self.sample_rate)}]

    @property
    def file_columns(self) -> tuple[str, ...]:
        return self.columns

    def layout(self) -> dict[str, Any]:
        return {"sides": self.sides, "mean": self.mean, "std": self.std}

    def token_options(self) -> dict[str, Any]:
        common = {"sample_rate": self.sample_rate, "audio_channels": self.sides}
        if not self.mel_bands:
            return {**common, "audio_patch": self.patch}
        steps = {"mel_step": self.patch, "mel_window": self.mel_window}
        seconds = {name: samples / self.sample_rate for name, samples in steps.items()}
        return {**common, "audio_features": "logmel", "mel_bands": self.mel_bands, **seconds}


class AudioKind(Kind):
    """Files of sounds, or paths of them."""

    name = "audio"
    spec = AudioSpec
    settings = AudioSettings
    augmentation = AudioAugmentation

    def recognises(self, column: Column) -> bool:
        return column.media == "audio"

    def learn(self, columns: Sequence[str], rows: TrainRows) -> list[ModalitySpec]:
        (name,) = columns
        return [learn_sound(name, rows)]


def learn_sound(name: str, rows: TrainRows, track_of: str = "") -> AudioSpec:
    """What the train rows say about a column of sounds, or about the sound tracks of a column of videos."""
    column = track_of or name

    def look(value: Any, where: Where) -> AudioFacts | None:
        source = media_source(value, column, where)
        try:
            return None if source is None else decoding.audio_facts(source, where.cell_bytes)
        except NoSoundError:
            if track_of:  # a silent film
                return None
            raise

    without = "video" if track_of else "ignore"
    headers = rows.look(column, look, what="file with sound", without=without)
    clips = rows.files(column, _NUM_CLIPS)
    return AudioSpec.fit(name, headers, clips, rows.options(column), track_of, rows.cell_bytes)


def _moments(spec: AudioSpec, clips: Iterable[bytes | Path], cell_bytes: int) -> tuple[float, float]:
    """Mean and standard deviation of all values of the clips, (0, 1) of silence."""
    count, total, squares = 0, 0.0, 0.0
    for clip in clips:
        with contextlib.suppress(ValueError):  # a broken clip is reported when its row is decoded
            sound = decoding.audio(clip, spec.sample_rate, spec.num_samples, spec.sides, cell_bytes).samples
            values = (spec.features(sound) if spec.mel_bands else sound).astype(np.float64)
            count, total, squares = count + values.size, total + values.sum(), squares + (values**2).sum()
    if not count:
        return 0.0, 1.0
    mean = total / count
    std = math.sqrt(max(0.0, squares / count - mean**2))
    return (float(mean), std) if std > 1e-8 else (0.0, 1.0)
