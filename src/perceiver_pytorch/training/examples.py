"""What the model saw of a row, as the report shows it: data URIs, small drawings and text."""

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from einops import rearrange

from perceiver_pytorch.data import AudioSpec, Encoded, ImageSpec, ModalitySpec, VideoSpec

MAX_TEXT = 300  # characters of a text shown
Part = dict[str, str]
"""``kind`` (image, audio, drawing or text), ``name``, and ``value``: a data URI, SVG text, or text."""


def parts(modality: ModalitySpec, encoded: Encoded | None, cells: Mapping[str, Any]) -> list[Part]:
    """How one modality of a row is shown; the cells themselves where they are text, numbers or categories."""
    if encoded is None:
        return [{"kind": "text", "name": modality.name, "value": "(missing)"}]
    if isinstance(modality, ImageSpec):
        return [_part("image", modality, image_uri(modality, encoded))]
    if isinstance(modality, VideoSpec):
        return [_part("image", modality, video_uri(modality, encoded))]
    if isinstance(modality, AudioSpec):
        if modality.mel_bands:
            return [_part("image", modality, mel_uri(modality, encoded))]
        return [_part("audio", modality, audio_uri(modality, encoded))]
    return [{"kind": "text", "name": name, "value": _shortened(cells[name])} for name in modality.columns]


def image_uri(spec: ImageSpec, encoded: Encoded) -> str:
    """A PNG of what the model saw."""
    return _png(_pixels(encoded.values, spec.patch, spec.colors))


def video_uri(spec: VideoSpec, encoded: Encoded) -> str:
    """An animated WebP of what the model saw."""
    from PIL import Image

    first, *others = map(Image.fromarray, _pixels(encoded.values, spec.patch, 3))
    buffer = io.BytesIO()
    first.save(
        buffer, format="WEBP", save_all=True, append_images=others, duration=round(1000 / spec.rate), loop=0, quality=60
    )
    return _data_uri("image/webp", buffer.getvalue())


def audio_uri(spec: AudioSpec, encoded: Encoded) -> str:
    """A WAV of what the model heard."""
    import soundfile

    sound = (encoded.values.reshape(-1, spec.sides) * spec.std + spec.mean).clip(-1, 1)
    buffer = io.BytesIO()
    soundfile.write(buffer, sound, spec.sample_rate, format="WAV", subtype="PCM_16")
    return _data_uri("audio/wav", buffer.getvalue())


def mel_uri(spec: AudioSpec, encoded: Encoded) -> str:
    """A PNG of the log-mel energies, time to the right, low bands below; stereo one above the other."""
    energies = rearrange(encoded.values, "t (s b) -> (s b) t", s=spec.sides)[::-1]
    low, high = float(energies.min()), float(energies.max())
    return _png(np.round(255 * (energies - low) / max(high - low, 1e-6)).astype(np.uint8))


def _pixels(values: np.ndarray, patch: int, colors: int) -> np.ndarray:
    pixels = rearrange(values, "... h w (p q c) -> ... (h p) (w q) c", p=patch, q=patch, c=colors)
    return pixels.squeeze(-1) if colors == 1 else pixels


def _png(pixels: np.ndarray) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return _data_uri("image/png", buffer.getvalue())


def _part(kind: str, modality: ModalitySpec, value: str) -> Part:
    return {"kind": kind, "name": modality.name, "value": value}


def _shortened(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
