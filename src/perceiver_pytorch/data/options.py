"""The knobs of `InputSpec.fit`."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import DataError, did_you_mean


def _choice(default: str, *choices: str) -> Any:
    return field(default=default, metadata={"choices": choices})


@dataclass(frozen=True, kw_only=True)
class SpecOptions:
    """How the cells of a table become arrays; what is None is learned from the train rows.

    Raises:
        DataError: a value of another type, out of range, or an unknown option of a column.
    """

    image_size: int | None = None
    """Longer side of every image in pixels; None: that of the most common size, at most max_image_size."""
    max_image_size: int = 64
    """Longest side in pixels that is chosen without image_size."""
    image_fit: str = _choice("pad", "pad", "stretch")
    """Images of other proportions: fitted into the box and padded (masked), or stretched to it."""
    image_patch: int | None = None
    """Side of an image token in pixels; None: the smallest of 1, 2, 4, 8, 16 that keeps to max_image_tokens."""
    max_image_tokens: int = 1024
    """Tokens per image that image_patch is chosen by."""
    sample_rate: int | None = None
    """Rate of every sound in Hz; None: the most common one, at most 16000."""
    audio_channels: int = 1
    """1: sounds are mixed to mono; 2: stereo is kept, mono is on both sides."""
    audio_features: str = _choice("raw", "raw", "logmel")
    """Tokens of raw samples, or of logarithmic mel energies."""
    audio_patch: int = 32
    """Samples per raw sound token."""
    mel_bands: int = 64
    """Bands of a log-mel token."""
    mel_window: float = 0.025
    """Seconds of sound that a log-mel token is computed from."""
    mel_step: float = 0.010
    """Seconds from one log-mel token to the next."""
    max_audio_seconds: float = 10.0
    """Longer sounds lose their end."""
    video_rate: float = 5.0
    """Frames per second that are taken of every video."""
    video_size: int | None = None
    """Longer side of every frame in pixels; None: that of the most common size, at most max_video_size."""
    max_video_size: int = 64
    """Longest side in pixels that is chosen without video_size."""
    video_patch: int | None = None
    """Side of a video token in pixels; None: the smallest of 1, 2, 4, 8, 16 that keeps to max_video_tokens."""
    max_video_tokens: int = 4096
    """Tokens per video that video_patch is chosen by."""
    max_video_seconds: float = 10.0
    """Longer videos lose their end."""
    max_text_bytes: int = 512
    """Longer texts lose their end (UTF-8 bytes)."""
    tokenizer: str | None = None
    """File of the `tokenizers` library (tokenizer.json) that turns text into tokens; None: bytes."""
    max_text_tokens: int = 256
    """With a tokenizer, longer texts lose their end."""
    max_series_length: int = 1024
    """Longer series lose their end (time steps)."""
    series_time: str | None = None
    """Column with a series' time stamps (seconds or dates), in series_file where there is one; None: equal steps."""
    series_origin: str | None = field(default=None, metadata={"choices": ("first", "zero")})
    """Time stamps count from the row's first one, or from zero; None: from zero with a clock, else from the first."""
    series_file: str | None = None
    """Table with the series in long format, relative to the table's folder: a row per time step."""
    series_key: str | None = None
    """Column of series_file that says whose row it is; None: the one called as the table's column."""
    series_values: tuple[str, ...] = ()
    """Columns of series_file with the values; empty: every other number column."""
    max_points: int = 1024
    """Point clouds of more points are thinned out to this many."""
    clock: bool = False
    """Sounds, videos and series with time stamps share one time axis, in seconds from the start of the row."""
    column_options: dict[str, dict[str, Any]] = field(default_factory=dict)
    """{column: {option: value}} that win over the others for single columns."""

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for known in dataclasses.fields(self):
            value = _typed(known.name, getattr(self, known.name), hints[known.name])
            choices = known.metadata.get("choices")
            if choices and value is not None and value not in choices:
                raise DataError(f"{known.name} was expected to be one of {', '.join(choices)}, got {value!r}")
            if isinstance(value, int | float) and not isinstance(value, bool) and not value > 0:
                raise DataError(f"{known.name} was expected to be positive, got {value}")
            object.__setattr__(self, known.name, value)
        if self.audio_channels > 2:
            raise DataError(f"audio_channels was expected to be 1 or 2, got {self.audio_channels}")
        for column in self.column_options:
            self.of(column)

    def of(self, column: str) -> SpecOptions:
        """The options of one column."""
        given = self.column_options.get(column, {})
        if not isinstance(given, Mapping):
            raise DataError(f"column_options.{column}: options with values were expected, got {given!r}")
        known = [f.name for f in dataclasses.fields(self) if f.name != "column_options"]
        for name in given:
            if name not in known:
                raise DataError(
                    f"column_options.{column}: no option {name!r}{did_you_mean(str(name), known)}; "
                    f"the options are {', '.join(known)}"
                )
        try:
            return dataclasses.replace(self, **given, column_options={})
        except DataError as error:
            raise DataError(f"column_options.{column}: {error}") from error


def _typed(name: str, value: Any, hint: Any) -> Any:
    """`value`, if it is of the annotated type; integers are taken for floats, lists for tuples."""
    options = typing.get_args(hint) if type(None) in typing.get_args(hint) else (hint,)
    types = tuple(typing.get_origin(option) or option for option in options)
    if float in types and type(value) is int:
        return float(value)
    if tuple in types and isinstance(value, list | tuple):
        if not all(isinstance(entry, str) for entry in value):
            raise DataError(f"{name} was expected to be a list of names, got {value!r}")
        return tuple(value)
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        expected = " or ".join("none" if option is type(None) else option.__name__ for option in types)
        raise DataError(f"{name} was expected to be {expected}, got {value!r}")
    return value
