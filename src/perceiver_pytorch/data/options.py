"""The knobs of `InputSpec.fit`."""

from dataclasses import dataclass

from .errors import DataError


@dataclass(frozen=True, kw_only=True)
class SpecOptions:
    """How the cells of a table become arrays; what is None is learned from the train rows."""

    image_size: int | None = None
    """Longer side of every image in pixels; None: that of the most common size, at most max_image_size."""
    max_image_size: int = 64
    """Longest side in pixels that is chosen without image_size."""
    image_patch: int | None = None
    """Side of an image token in pixels; None: the smallest of 1, 2, 4, 8, 16 that keeps to max_image_tokens."""
    max_image_tokens: int = 1024
    """Tokens per image that image_patch is chosen by."""
    sample_rate: int | None = None
    """Rate of every sound in Hz; None: the most common one, at most 16000."""
    audio_patch: int = 32
    """Samples per sound token."""
    max_audio_seconds: float = 10.0
    """Longer sounds lose their end."""
    max_text_bytes: int = 512
    """Longer texts lose their end (UTF-8 bytes)."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not value > 0:
                raise DataError(f"{name} was expected to be positive, got {value}")
