"""Small pictures for the report, as data URIs and SVG."""

import base64
import io

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch.data.errors import need

MAX_STEPS = 256  # of a series, or points, drawn
WIDTH, HEIGHT = 240, 96
COLORS = ("#2563a8", "#d9822b", "#1d7a3a", "#b3261e", "#8a5fb0", "#8a94a0")


def data_uri(kind: str, data: bytes) -> str:
    """A file as a URI that holds it; `kind` is its media type."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def png(pixels: "np.ndarray") -> str:
    """uint8 (height, width) or (height, width, 3) as a PNG."""
    buffer = io.BytesIO()
    need("PIL.Image", "draw examples").fromarray(pixels).save(buffer, format="PNG")
    return data_uri("image/png", buffer.getvalue())


def animation(frames: "np.ndarray", rate: float) -> str:
    """uint8 (frames, height, width, 3), `rate` of them a second, as an animated WebP."""
    first, *others = map(need("PIL.Image", "draw examples").fromarray, frames)
    buffer = io.BytesIO()
    first.save(
        buffer, format="WEBP", save_all=True, append_images=others, duration=round(1000 / rate), loop=0, quality=60
    )
    return data_uri("image/webp", buffer.getvalue())


def wav(sound: "np.ndarray", rate: int) -> str:
    """Samples (samples, sides) from -1 to 1 as a WAV file."""
    buffer = io.BytesIO()
    need("soundfile", "draw examples").write(buffer, sound.clip(-1, 1), rate, format="WAV", subtype="PCM_16")
    return data_uri("audio/wav", buffer.getvalue())


def heat_map(values: "np.ndarray") -> str:
    """(height, width) as a grey PNG, from the lowest to the highest value."""
    low, high = float(values.min()), float(values.max())
    return png(np.round(255 * (values - low) / max(high - low, 1e-6)).astype(np.uint8))


def lines(times: "np.ndarray", values: "np.ndarray") -> str:
    """A line per column of `values` (steps, lines) over `times` (steps,) as an SVG; a gap where values are NaN."""
    values, times = values[:: 1 + len(values) // MAX_STEPS], times[:: 1 + len(times) // MAX_STEPS]
    x = _scaled(times, WIDTH)
    y = HEIGHT - _scaled(values, HEIGHT)
    shapes = [
        f'<polyline points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x[run], y[run, channel], strict=True))}" '
        f'fill="none" stroke="{COLORS[channel % len(COLORS)]}" stroke-linecap="round"/>'
        for channel in range(values.shape[1])
        for run in _runs(np.isfinite(y[:, channel]))
    ]
    return svg(shapes, WIDTH)


def dots(places: "np.ndarray") -> str:
    """Points (points, dims) within -1 and 1 as an SVG: from the front (first and second dimension) and, where there is
    a third, from the side."""
    places = places[:: 1 + len(places) // MAX_STEPS]
    flat = places if places.shape[1] > 1 else np.concatenate([places, np.zeros_like(places)], axis=1)
    views = [(0, 1)] if flat.shape[1] == 2 else [(0, 1), (2, 1)]
    half = HEIGHT / 2
    shapes = [
        f'<circle cx="{half + half * point[a] + HEIGHT * i:.1f}" cy="{half - half * point[b]:.1f}" r="1" '
        f'fill="{COLORS[i]}"/>'
        for i, (a, b) in enumerate(views)
        for point in flat
    ]
    return svg(shapes, HEIGHT * len(views))


def svg(shapes: list[str], width: int) -> str:
    """Shapes on a canvas of `HEIGHT`."""
    return f'<svg width="{width}" height="{HEIGHT}" viewBox="0 0 {width} {HEIGHT}">{"".join(shapes)}</svg>'


def _runs(known: "np.ndarray") -> list[slice]:
    """The stretches of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], known.astype(np.int8), [0]])))
    return [slice(first, last) for first, last in edges.reshape(-1, 2)]


def _scaled(values: "np.ndarray", size: int) -> "np.ndarray":
    low, high = np.nanmin(values), np.nanmax(values)
    return 2 + (size - 4) * (values - low) / (high - low if high > low else 1.0)
