"""Audio columns and sound tracks: one rate, standardised, cut into patches of samples or log-mel energies."""

import contextlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from einops import rearrange

from perceiver_pytorch import _checks
from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch._settings import Settings, knob
from perceiver_pytorch.data import drawing, map_drawing
from perceiver_pytorch.data.cell_memory import CELL_BYTES
from perceiver_pytorch.data.cells import Where, file_named, media_source
from perceiver_pytorch.data.column import Column
from perceiver_pytorch.data.fields import Field
from perceiver_pytorch.data.kinds.base import (
    BLANK,
    ColumnSpec,
    Encoded,
    Kind,
    ModalitySpec,
    Part,
    check_positive,
)
from perceiver_pytorch.data.kinds.clock import clock_grid, clock_note, clock_resolution
from perceiver_pytorch.data.kinds.long_cells import BEYOND, CUT, IN_PIECES, RowPieces, once
from perceiver_pytorch.data.kinds.stems import STEMS, stem_config, stem_knob, stem_note
from perceiver_pytorch.data.map_pieces import blocks
from perceiver_pytorch.data.media import decoding
from perceiver_pytorch.data.media.audio_file import AudioFacts, NoSoundError
from perceiver_pytorch.data.media.mel import below_peak, log_mel, log_mel_in_pieces
from perceiver_pytorch.data.oddities import Oddity
from perceiver_pytorch.data.train_rows import TrainRows

if TYPE_CHECKING:
    from torch import Tensor

_MAX_RATE = 16000  # Hz: speech; a higher rate costs tokens and is chosen by hand
_LEAST_SHARE = 0.25  # of the bands' mean deviation, for the deviation of each
_QUIET = 0.05  # share of a row's energies that silence lies above
_NUM_CLIPS = 512  # clips decoded for mean and standard deviation (all headers are read)

_MOST_SAMPLES = 1 << 40  # of a sound whose header does not say how long it is
_SILENT = 1e-3  # of full scale, the peak of a sound in which nothing is heard: -60 dB


@dataclass(frozen=True, kw_only=True)
class AudioSettings(Settings):
    """How sounds become arrays."""

    sample_rate: int | None = knob(None, "rate of every sound in Hz; null: the most common, at most 16000", above=0)
    audio_channels: int = knob(1, "1: mono, 2: stereo", choices=(1, 2))
    audio_features: str = knob(
        "logmel", "sounds as log-mel energies, or as samples", choices=("raw", "logmel"), before="raw"
    )
    audio_stem: str = stem_knob("sounds", "convolutions (log-mel: over time and bands)")
    audio_patch: int = knob(32, "samples per raw sound token", above=0)
    mel_bands: int = knob(64, "bands of a log-mel token", above=0)
    mel_window: float = knob(0.025, "seconds of sound in a log-mel token", above=0)
    mel_step: float = knob(0.010, "seconds from one log-mel token to the next", above=0)
    max_audio_seconds: float | None = knob(
        10.0, "longer sounds lose their end; null: all are read to their end", above=0
    )


@dataclass(frozen=True, kw_only=True)
class AudioAugmentation(Settings):
    """How sounds change at random."""

    audio_shift: float = knob(0.1, "move sounds by up to this share of their length", least=0, most=1)
    audio_gain: float = knob(6.0, "raw sounds: make louder or softer by up to this many decibels", least=0)
    audio_noise: float = knob(0.05, "raw sounds: add white noise of up to this share of the usual deviation", least=0)
    audio_changed: float = knob(
        0.5,
        "log-mel sounds: share of the rows of a step that are changed; the others stay, for pitch may be what tells",
        least=0,
        most=1,
        before=1.0,
    )
    audio_warp: float = knob(
        0.1,
        "log-mel sounds: stretch or squeeze the bands by up to this share, as other voices do",
        least=0,
        below=1,
        before=0.0,
    )
    audio_stretch: float = knob(
        0.15, "log-mel sounds: make slower or faster by up to this share", least=0, below=1, before=0.0
    )
    audio_equaliser: float = knob(
        4.0, "log-mel sounds: raise or lower neighbouring bands by up to this many decibels", least=0, before=0.0
    )
    audio_floor: float = knob(
        0.0,
        "log-mel sounds: drown up to this share of the range between peak and silence",
        least=0,
        below=1,
        before=0.0,
    )
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
        stem: what reads it before the model; with one, log-mel energies are a grid of time and bands.
        means, stds: of each band's energies below the clip's peak (`below_peak`); empty of samples, and of runs up to
            version 1.6, whose energies are absolute and standardised by `mean` and `std`.
        stream_samples: longer clips are read in pieces of so many samples, a multiple of `patch`; 0: none is.
        to_end: the train clips are read to their end.
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
    stem: str = "none"
    means: tuple[float, ...] = ()
    stds: tuple[float, ...] = ()
    stream_samples: int = 0
    to_end: bool = False

    kind: ClassVar[str] = "audio"
    hidden_by: ClassVar[str] = BLANK
    changes: ClassVar[Mapping[str, str]] = {
        "cut": CUT,
        "beyond": BEYOND,
        "incomplete": "lack their end: their files were cut off, and have fewer samples than they say",
        "pieces": IN_PIECES,
    }
    harmless: ClassVar[frozenset[str]] = frozenset(["pieces"])

    def __post_init__(self) -> None:
        check_positive(self, "sample_rate", "num_samples", "patch", "std", *(["mel_window"] if self.mel_bands else []))
        if self.num_samples % self.patch:
            raise ValueError(f"num_samples must be a multiple of the patch {self.patch}, got {self.num_samples}")
        _checks.within("stream_samples", self.stream_samples, least=0)
        if self.stream_samples % self.patch:
            raise ValueError(f"stream_samples must be a multiple of the patch {self.patch}, got {self.stream_samples}")
        _checks.choice("sides", self.sides, (1, 2))
        _checks.choice("stem", self.stem, STEMS)
        if len(self.means) != len(self.stds) or (self.means and len(self.means) != self.mel_bands):
            raise ValueError(f"means and stds must have one number per band ({self.mel_bands}), or none")
        for std in self.stds:
            _checks.within("each of stds", std, above=0)
        for mean in (self.mean, *self.means):
            _checks.number32("mean and each of means", mean)

    @classmethod
    def fit(
        cls,
        name: str,
        headers: Iterable[AudioFacts],
        clips: Iterable[bytes | Path],
        options: Any,
        track_of: str = "",
        cell_bytes: int = CELL_BYTES,
    ) -> "AudioSpec":
        """Learn rate and length from the headers (at least one), and from the clips means and deviations, with
        `AudioSettings` and `stream_seconds`."""
        facts = list(headers)
        (common, _), *_ = Counter(fact.sample_rate for fact in facts).most_common(1)
        rate = options.sample_rate or min(common, _MAX_RATE)
        seconds = min(max(fact.seconds for fact in facts), options.max_audio_seconds or math.inf)
        mel = options.audio_features == "logmel"
        patch = max(1, round(options.mel_step * rate)) if mel else options.audio_patch
        # The small number keeps the rounding of seconds from adding a sample.
        num_patches = max(1, math.ceil((seconds * rate - 1e-6) / patch))
        piece = None if options.stream_seconds is None else max(1, math.ceil(options.stream_seconds * rate / patch))
        spec = cls(
            name,
            rate,
            num_patches * patch,
            patch,
            stream_samples=0 if piece is None or piece >= num_patches else piece * patch,
            sides=options.audio_channels,
            mel_bands=options.mel_bands if mel else 0,
            mel_window=max(2, round(options.mel_window * rate)) if mel else 0,
            track_of=track_of,
            stem=options.audio_stem,
            to_end=options.max_audio_seconds is None,
        )
        means, stds = _moments(spec, clips, cell_bytes)
        return replace(spec, means=means, stds=stds) if mel else replace(spec, mean=means[0], std=stds[0])

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        return (self.track_of or self.name,)

    @property
    def gridded(self) -> bool:
        """Whether it has two axes, time and mel bands."""
        return bool(self.mel_bands) and self.stem != "none"

    @property
    def axes(self) -> tuple[int, ...]:
        steps = self.num_samples // self.patch
        return (steps, self.mel_bands) if self.gridded else (steps,)

    @property
    def held_axes(self) -> tuple[int, ...]:
        steps, *bands = self.axes
        return (min(steps, self.stream_samples // self.patch or steps), *bands)

    @property
    def channels(self) -> int:
        return self.sides * (1 if self.gridded else self.mel_bands or self.patch)

    @property
    def stem_config(self) -> dict[str, Any] | None:
        return stem_config(self.stem, self.held_axes, self.channels)

    @property
    def seconds(self) -> float:
        """Of the longest clip."""
        return self.num_samples / self.sample_rate

    def fewer_tokens(self) -> dict[str, Any]:
        if self.stem == "none":
            return {"audio_stem": "convolution"}
        return {"max_audio_seconds": self.num_samples / self.sample_rate / 2}

    def in_memory(self) -> dict[str, float]:
        return {"max_audio_seconds": self.stream_samples / self.sample_rate} if self.stream_samples else {}

    @property
    def resolution(self) -> float:
        return clock_resolution(self, self.patch / self.sample_rate)

    def grid(self, axis: int) -> "np.ndarray | None":
        return clock_grid(self, self.patch / self.sample_rate) if axis == 0 else None

    def encode(self, row: Mapping[str, Any], where: Where) -> Encoded | None:
        """float32 (tokens, patch * sides); or energies (tokens, mel_bands * sides), (tokens, mel_bands, sides) for a
        stem. Zeros fill the last patch.

        A video without a sound track has no sound: None.
        """
        (column,) = self.columns
        source = media_source(row[column], column, where)
        if source is None:
            return None
        try:
            most = self.stream_samples or self.num_samples
            sound = decoding.audio(source, self.sample_rate, most, self.sides, where.cell_bytes)
            if sound.longer and self.stream_samples:
                return self._encoded_in_pieces(source, where, row[column])
        except NoSoundError as error:
            if self.track_of:
                return None
            raise where.error(column, str(error), row[column]) from error
        except ValueError as error:
            raise where.error(column, str(error), row[column]) from error
        changes = self._changes(sound.longer, sound.incomplete)
        silent = float(np.abs(sound.samples).max(initial=0.0)) < _SILENT
        unusual = (Oddity("silent", f"{self.name} is silent"),) if silent else ()
        return Encoded(self.standardised(self.features(sound.samples)), changes=changes, unusual=unusual)

    def _changes(self, longer: bool, incomplete: bool) -> tuple[str, ...]:
        """What is told of a sound."""
        cut = "beyond" if self.to_end else "cut"
        return tuple(name for name, told in ((cut, longer), ("incomplete", incomplete)) if told)

    def _encoded_in_pieces(self, source: bytes | Path, where: Where, cell: Any) -> Encoded:
        """A long sound, which is decoded once to see how long and how loud it is."""
        pieces = self.in_pieces(source, where, cell)
        changes = *self._changes(pieces.facts["longer"], pieces.facts["incomplete"]), "pieces"
        unusual = (Oddity("silent", f"{self.name} is silent"),) if pieces.facts["loudest"] < _SILENT else ()
        return Encoded(next(iter(pieces.read())), changes=changes, unusual=unusual, pieces=pieces)

    def in_pieces(self, source: bytes | Path, where: Where, cell: Any = None) -> "SoundPieces":
        """The pieces of a sound; errors as of `decoding.audio`."""
        key = "sound", self.sample_rate, self.num_samples, self.sides, self.mel_bands, self.mel_window, self.patch
        facts = once(source, key, lambda: self._looked_through(source, where.cell_bytes))
        length = -(-facts["count"] // self.patch)
        shape = (length, self.mel_bands, self.channels) if self.gridded else (length, self.channels)
        return SoundPieces(self, source, where, file_named(cell), shape, facts)

    def _looked_through(self, source: bytes | Path, most: int) -> dict[str, Any]:
        """What is known at the end of a sound, and as ``peak`` the largest of its energies."""
        parts = self.parts_of(source, most)
        if not self.mel_bands:
            for _ in parts:
                pass
            return parts.facts
        energies = log_mel_in_pieces(parts, self.sample_rate, self.mel_bands, self.mel_window, self.patch)
        peak = max(float(each.max()) for each in energies)
        return {**parts.facts, "peak": peak}

    def parts_of(self, source: bytes | Path, most: int) -> decoding.InPieces:
        """The samples of a sound, part after part."""
        size = self.stream_samples or self.num_samples
        return decoding.samples(source, self.sample_rate, self.num_samples, self.sides, size, most)

    def features(self, sound: "np.ndarray") -> "np.ndarray":
        """Samples (samples, sides) as tokens (tokens, channels), of a patch sample by sample, side by side."""
        if self.mel_bands:
            energies = log_mel(sound, self.sample_rate, self.mel_bands, self.mel_window, self.patch)
            return self.tokens(below_peak(energies) if self.means else energies)
        missing = -len(sound) % self.patch
        # What fills the last patch is zero once it is standardised.
        filled = np.pad(sound, ((0, missing), (0, 0)), constant_values=self.mean) if missing else sound
        return filled.reshape(-1, self.channels)

    def tokens(self, energies: "np.ndarray") -> "np.ndarray":
        """Energies (tokens, sides, bands) as the model has them."""
        return energies.swapaxes(1, 2) if self.gridded else energies.reshape(len(energies), self.channels)

    def standardised(self, features: "np.ndarray") -> "np.ndarray":
        """Features at mean 0 and deviation 1, over all values or in every band."""
        mean, std = (np.asarray(x, np.float32) for x in (self.means or self.mean, self.stds or self.std))
        if self.means:
            mean, std = (x[:, None] if self.gridded else np.tile(x, self.sides) for x in (mean, std))
        return ((features - mean) / std).astype(np.float32)

    def note(self) -> str:
        sides = "mono" if self.sides == 1 else "stereo"
        bands = f"{self.mel_bands} log-mel bands every {self.patch} samples"
        tokens = bands if self.mel_bands else f"{self.patch} samples a token"
        stem = stem_note(self.stem_config, self.axes)
        pieces = f", over {self.stream_samples / self.sample_rate:g} s in pieces" if self.stream_samples else ""
        return f"{self.seconds:.2f} s{pieces} at {self.sample_rate} Hz, {sides}, {tokens}{stem}{clock_note(self)}"

    def augmented(self, values: "Tensor", mask: "Tensor | None", settings: AudioAugmentation) -> "Tensor":
        """Warp, stretch, shift, equaliser, noise and SpecAugment of energies; shift, gain and noise of samples."""
        import torch

        from perceiver_pytorch.data import random_changes as change
        from perceiver_pytorch.data import sound_changes

        if not self.mel_bands:
            (lengths,) = change.extents(values, mask, axes=1)
            return self._changed_samples(values, lengths, settings)
        lengths = change.extents(values, mask, axes=len(self.axes))[0]
        same = change.uniform((len(values),), values, 0.0, 1.0) >= settings.audio_changed
        energies = values.movedim(-1, 1) if self.gridded else rearrange(values, "b n (s f) -> b s n f", s=self.sides)
        if self.means:
            mean, std = (values.new_tensor(numbers) for numbers in (self.means, self.stds))
            energies = (sound_changes.another_take(energies * std + mean, lengths, settings) - mean) / std
        energies = sound_changes.blanked(energies, lengths, settings)
        changed = energies.movedim(1, -1) if self.gridded else rearrange(energies, "b s n f -> b n (s f)")
        return torch.where(same.view(-1, *[1] * (values.dim() - 1)), values, changed)

    def _changed_samples(self, values: "Tensor", lengths: "Tensor", settings: AudioAugmentation) -> "Tensor":
        import torch

        from perceiver_pytorch.data import random_changes as change

        samples = rearrange(values, "b n (p s) -> b (n p) s", s=self.sides)
        if settings.audio_shift:
            samples = change.shifted(samples, lengths * self.patch, settings.audio_shift)
        size = (len(values), 1, 1)
        gain = 10 ** (change.uniform(size, values, -settings.audio_gain, settings.audio_gain) / 20)
        noise = torch.randn_like(samples) * change.uniform(size, values, 0.0, settings.audio_noise)
        real = (torch.arange(samples.shape[1], device=values.device) < (lengths * self.patch)[:, None])[..., None]
        return rearrange(torch.where(real, samples * gain + noise, samples), "b (n p) s -> b n (p s)", p=self.patch)

    def example(self, encoded: Encoded, row: Mapping[str, Any]) -> list[Part]:
        """The sound; of log-mel energies a picture: time to the right, low bands below, stereo one above the other."""
        if self.mel_bands:
            cut = "t b s -> (s b) t" if self.gridded else "t (s b) -> (s b) t"
            energies = rearrange(encoded.values, cut, s=self.sides)[::-1]
            return [{"kind": "image", "name": self.name, "value": drawing.heat_map(energies)}]
        sound = encoded.values.reshape(-1, self.sides) * self.std + self.mean
        return [{"kind": "audio", "name": self.name, "value": drawing.wav(sound, self.sample_rate)}]

    def blank(self, values: "Tensor", mask: "Tensor | None") -> "Tensor":
        """Silence; of log-mel energies as quiet as the quietest of the row, in every band."""
        if not self.mel_bands:
            return values.new_full((), -self.mean / self.std)
        mean, std = (values.new_tensor(numbers) for numbers in (self.means or (self.mean,), self.stds or (self.std,)))
        if len(mean) > 1:
            mean, std = (x[:, None] if self.gridded else x.repeat(self.sides) for x in (mean, std))
        floor = (values * std + mean).flatten(1).quantile(_QUIET, dim=1)
        return (floor.view(-1, *[1] * (values.dim() - 1)) - mean) / std

    def pieces(self, encoded: Encoded, most: int) -> "np.ndarray":
        """Segments of time; of log-mel energies blocks of time and bands."""
        steps = len(encoded.values)
        if self.gridded or not self.mel_bands:
            return blocks(self.token_axes(encoded), most)
        return np.tile(blocks((steps, self.mel_bands), most), self.sides)

    def on_grid(self, values: "np.ndarray") -> "np.ndarray":
        """(steps, bands) of log-mel energies, else (samples,); both sides of stereo sound together."""
        if not self.mel_bands:
            if values.ndim == 1:
                return (values / self.patch).repeat(self.patch)
            return rearrange(values, "n (p s) -> (n p) s", p=self.patch).sum(-1)
        if self.gridded:
            return values.sum(-1) if values.ndim == 3 else values
        if values.ndim == 1:
            return np.repeat(values[:, None] / self.mel_bands, self.mel_bands, axis=1)
        return rearrange(values, "n (s b) -> n b s", s=self.sides).sum(-1)

    def draw_map(self, encoded: Encoded, heat: "np.ndarray", row: Mapping[str, Any], where: Where) -> list[Part]:
        """The spectrogram, the wave with what its moments count, and the sound itself, for people to hear."""
        parts = []
        seconds = len(encoded.values) * self.patch / self.sample_rate
        if self.mel_bands:
            cut = "t b s -> b t s" if self.gridded else "t (s b) -> b t s"
            energies = rearrange(encoded.values, cut, s=self.sides).mean(-1)
            drawn = map_drawing.spectrogram(energies, heat.T, seconds, "log-mel")
            parts.append({"kind": "drawing", "name": f"{self.name}.spectrogram", "value": drawn})
        (column,) = self.columns
        source = media_source(row[column], column, where)
        if source is not None:
            sound = decoding.audio(source, self.sample_rate, self.num_samples, self.sides, where.cell_bytes).samples
            moments = heat.sum(1) if heat.ndim == 2 else heat
            drawn = map_drawing.waves([sound.mean(1)], [moments], [self.name], seconds)
            parts.append({"kind": "drawing", "name": f"{self.name}.wave", "value": drawn})
            parts.append({"kind": "audio", "name": self.name, "value": drawing.wav(sound, self.sample_rate)})
        return parts

    @property
    def file_columns(self) -> tuple[str, ...]:
        return self.columns

    def fields(self) -> tuple[Field, ...]:
        (column,) = self.columns
        return (Field(column, "video" if self.track_of else "audio"),)

    def layout(self) -> dict[str, Any]:
        return {"sides": self.sides, "mean": self.mean, "std": self.std}

    def token_options(self) -> dict[str, Any]:
        common = {"sample_rate": self.sample_rate, "audio_channels": self.sides, "audio_stem": self.stem}
        if not self.mel_bands:
            return {**common, "audio_features": "raw", "audio_patch": self.patch}
        steps = {"mel_step": self.patch, "mel_window": self.mel_window}
        seconds = {name: samples / self.sample_rate for name, samples in steps.items()}
        return {**common, "audio_features": "logmel", "mel_bands": self.mel_bands, **seconds}


@dataclass(frozen=True, eq=False)
class SoundPieces(RowPieces):
    """A sound in pieces.

    Attributes:
        spec: of its column.
        source: the file's bytes, or its path.
        where, file: for messages.
        facts: what is known of all of it: of `AudioSpec.in_pieces`.
    """

    spec: AudioSpec
    source: bytes | Path
    where: Where
    file: str | None
    shape: tuple[int, ...]
    facts: Mapping[str, Any]

    def read(self) -> "Iterator[np.ndarray]":
        (column,) = self.spec.columns
        try:
            for features in self.features():
                yield self.spec.standardised(features)
        except ValueError as error:
            raise self.where.error(column, str(error), self.file) from error

    def features(self) -> "Iterator[np.ndarray]":
        """What `AudioSpec.features` gives of all of it, in pieces."""
        spec, parts = self.spec, self.spec.parts_of(self.source, self.where.cell_bytes)
        if not spec.mel_bands:
            yield from map(spec.features, parts)
            return
        for energies in log_mel_in_pieces(parts, spec.sample_rate, spec.mel_bands, spec.mel_window, spec.patch):
            yield spec.tokens(below_peak(energies, self.facts["peak"]) if spec.means else energies)


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
    options = rows.options(column)

    def look(value: Any, where: Where) -> AudioFacts | None:
        source = media_source(value, column, where)
        if source is None:
            return None
        try:
            facts = decoding.audio_facts(source, where.cell_bytes)
            if math.isinf(facts.seconds) and options.max_audio_seconds is None:
                return replace(facts, seconds=_seconds(source, facts.sample_rate, where.cell_bytes))
            return facts
        except NoSoundError:
            if track_of:  # a silent film
                return None
            raise

    without = "video" if track_of else "ignore"
    headers = rows.look(column, look, what="file with sound", without=without)
    clips = rows.files(column, _NUM_CLIPS)
    return AudioSpec.fit(name, headers, clips, options, track_of, rows.cell_bytes)


def _seconds(source: bytes | Path, rate: int, most: int) -> float:
    """How long a sound is whose header does not say it: all of it is decoded."""
    return sum(map(len, decoding.samples(source, rate, _MOST_SAMPLES, 1, 1 << 20, most))) / rate


def _read(spec: AudioSpec, source: bytes | Path, cell_bytes: int) -> "Iterator[np.ndarray]":
    """The features of a sound, or its samples, those of a long one in pieces."""
    most = spec.stream_samples or spec.num_samples
    sound = decoding.audio(source, spec.sample_rate, most, spec.sides, cell_bytes)
    if not (sound.longer and spec.stream_samples):
        yield spec.features(sound.samples) if spec.mel_bands else sound.samples
    elif not spec.mel_bands:
        yield from spec.parts_of(source, cell_bytes)
    else:
        yield from spec.in_pieces(source, Where("", Path(), 0, cell_bytes=cell_bytes)).features()


def _moments(
    spec: AudioSpec, clips: Iterable[bytes | Path], cell_bytes: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of all samples, or of each band's energies below the peak; 0 and 1 of silence."""
    bands = spec.mel_bands or 1
    plain = replace(spec, stem="none", means=(0.0,) * spec.mel_bands, stds=(1.0,) * spec.mel_bands)
    count, total, squares = 0, np.zeros(bands), np.zeros(bands)
    for clip in clips:
        with contextlib.suppress(ValueError):  # a broken clip is reported when its row is decoded
            for found in _read(plain, clip, cell_bytes):
                values = found.astype(np.float64).reshape(-1, bands)
                count, total, squares = count + len(values), total + values.sum(0), squares + (values**2).sum(0)
    if not count:
        return (0.0,) * bands, (1.0,) * bands
    means = total / count
    stds = np.sqrt(np.maximum(squares / count - means**2, 0))
    stds = np.maximum(stds, _LEAST_SHARE * stds.mean())  # a band that is silent nearly everywhere is not blown up
    return tuple(means.tolist()), tuple(np.where(stds > 1e-8, stds, 1.0).tolist())
