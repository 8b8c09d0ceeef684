"""What the model saw of a row, as the report shows it: data URIs, small drawings and text."""

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from einops import rearrange

from perceiver_pytorch.data import AudioSpec, Encoded, ImageSpec, ModalitySpec, PointsSpec, SeriesSpec, VideoSpec

MAX_TEXT = 300  # characters of a text shown
MAX_STEPS = 256  # of a series, or points, drawn
WIDTH, HEIGHT = 240, 96
COLORS = ("#2563a8", "#d9822b", "#1d7a3a", "#b3261e", "#8a5fb0", "#8a94a0")
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
    if isinstance(modality, SeriesSpec):
        return [_part("drawing", modality, series_svg(modality, encoded))]
    if isinstance(modality, PointsSpec):
        return [_part("drawing", modality, points_svg(modality, encoded))]
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


def series_svg(spec: SeriesSpec, encoded: Encoded) -> str:
    """A line per channel, over time; a gap where values are missing."""
    count = len(spec.means)
    values = np.where(encoded.values[:, count:] > 0, np.nan, encoded.values[:, :count]) if spec.gaps else encoded.values
    if encoded.mask is not None:
        values = np.where(encoded.mask[:, None], values, np.nan)
    own = encoded.coordinates[0] if encoded.coordinates else None
    times = np.linspace(-1, 1, spec.length)[: len(values)] if own is None else own
    values, times = values[:: 1 + len(values) // MAX_STEPS], times[:: 1 + len(times) // MAX_STEPS]
    x = _scaled(times, WIDTH)
    y = HEIGHT - _scaled(values, HEIGHT)
    lines = [
        f'<polyline points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x[run], y[run, channel], strict=True))}" '
        f'fill="none" stroke="{COLORS[channel % len(COLORS)]}" stroke-linecap="round"/>'
        for channel in range(count)
        for run in _runs(np.isfinite(y[:, channel]))
    ]
    return _svg(lines, WIDTH)


def points_svg(spec: PointsSpec, encoded: Encoded) -> str:
    """The points from the front (first and second dimension) and, where there is a third, from the side."""
    assert encoded.coordinates is not None
    places = encoded.coordinates[0]
    assert places is not None
    places = places[:: 1 + len(places) // MAX_STEPS]
    flat = places if places.shape[1] > 1 else np.concatenate([places, np.zeros_like(places)], axis=1)
    views = [(0, 1)] if flat.shape[1] == 2 else [(0, 1), (2, 1)]
    half = HEIGHT / 2
    dots = [
        f'<circle cx="{half + half * point[a] + HEIGHT * i:.1f}" cy="{half - half * point[b]:.1f}" r="1" '
        f'fill="{COLORS[i]}"/>'
        for i, (a, b) in enumerate(views)
        for point in flat
    ]
    return _svg(dots, HEIGHT * len(views))


def _runs(known: np.ndarray) -> list[slice]:
    """The stretches of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], known.astype(np.int8), [0]])))
    return [slice(first, last) for first, last in edges.reshape(-1, 2)]


def _scaled(values: np.ndarray, size: int) -> np.ndarray:
    low, high = np.nanmin(values), np.nanmax(values)
    return 2 + (size - 4) * (values - low) / (high - low if high > low else 1.0)


def _svg(shapes: list[str], width: int) -> str:
    return f'<svg width="{width}" height="{HEIGHT}" viewBox="0 0 {width} {HEIGHT}">{"".join(shapes)}</svg>'


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
