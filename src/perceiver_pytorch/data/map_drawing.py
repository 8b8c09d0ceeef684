"""Maps drawn on their inputs: orange speaks for an answer, blue against it, and neither needs colours to be read.

What speaks for the answer has solid outlines, full dots and bars upwards; what speaks against it dotted outlines,
hollow dots and bars downwards.
"""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch.data import drawing

FOR, AGAINST = (217, 110, 10), (37, 99, 168)
_STRONG = 0.5  # of the largest value: what is outlined
_SIDE = 256  # pixels that small pictures are enlarged to
_WIDTH, _PANEL = 440, 120
_LEFT, _BOTTOM = 64, 34
_INK = "#1c2530"
_LETTER = 7.4  # width of a letter of a monospaced font of 12 px
_LINE = 34


def scaled(heat: "np.ndarray") -> "np.ndarray":
    """Values between -1 and 1, of which the largest in size is 1; zeros of nothing."""
    most = float(np.abs(heat).max()) if heat.size else 0.0
    return heat / most if most > 0 else np.zeros_like(heat, dtype=np.float64)


def color(value: float) -> str:
    return "rgb({},{},{})".format(*(FOR if value > 0 else AGAINST))


def heat_of_size(heat: "np.ndarray") -> "np.ndarray":
    """A map ``(..., height, width)`` as it is drawn: what neighbouring cells say together."""
    side = round(min(heat.shape[-2:]) / 24) | 1
    for axis in (-2, -1) if side > 1 else ():
        around = [(0, 0)] * heat.ndim
        around[axis] = (side // 2, side // 2)
        heat = np.lib.stride_tricks.sliding_window_view(np.pad(heat, around), side, axis=axis).mean(-1)
    return heat


def on_pixels(pixels: "np.ndarray", heat: "np.ndarray", most: float | None = None) -> "np.ndarray":
    """uint8 ``(height, width, 3)``, enlarged: the picture in pale grey under its map ``(height, width)``.

    Args:
        pixels: uint8 ``(height, width)`` or with 3 colours.
        heat: of the same height and width.
        most: the value that is drawn strongest; None: the largest.
    """
    heat = heat_of_size(np.asarray(heat, dtype=np.float64))
    most = float(np.abs(heat).max()) if most is None else most
    strength = np.clip(heat / most, -1, 1) if most > 0 else np.zeros_like(heat)
    grey = pixels if pixels.ndim == 2 else pixels @ np.array([0.299, 0.587, 0.114])
    pale = (64 + 0.7 * grey)[..., None]
    hue = np.where(strength[..., None] > 0, np.array(FOR), np.array(AGAINST))
    share = 0.85 * np.abs(strength)[..., None] ** 0.7
    factor = max(1, _SIDE // max(heat.shape))
    large = enlarged(((1 - share) * pale + share * hue).round().astype(np.uint8), factor)
    for where, dotted in ((strength >= _STRONG, False), (strength <= -_STRONG, True)):
        _outline(large, enlarged(where, factor), dotted)
    return large


def enlarged(pixels: "np.ndarray", factor: int) -> "np.ndarray":
    return pixels.repeat(factor, 0).repeat(factor, 1)


def _outline(pixels: "np.ndarray", where: "np.ndarray", dotted: bool) -> None:
    """Draws the edge of a region into a picture: dark inside, white outside."""
    padded = np.pad(where, 1)
    inner = where & ~(padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:])
    outer = ~where & (padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:])
    if dotted:
        rows, columns = np.indices(where.shape)
        drawn = (rows + columns) % 8 < 4
        inner, outer = inner & drawn, outer & drawn
    pixels[inner] = 0
    pixels[outer] = 255


def picture(pixels: "np.ndarray", heat: "np.ndarray") -> str:
    """A PNG: the picture, and beside it its map."""
    drawn = on_pixels(pixels, heat)
    return drawing.png(beside([colored(pixels, drawn.shape[0] // pixels.shape[0]), drawn]))


def colored(pixels: "np.ndarray", factor: int) -> "np.ndarray":
    """uint8 ``(height, width, 3)``, enlarged."""
    full = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)
    return enlarged(full, factor)


def beside(pictures: "Sequence[np.ndarray]") -> "np.ndarray":
    """Pictures of one height in a row, with white between them."""
    gap = np.full((pictures[0].shape[0], 8, 3), 255, dtype=np.uint8)
    return np.concatenate([part for one in pictures for part in (one, gap)][:-1], axis=1)


def strip(frames: "np.ndarray", heat: "np.ndarray", most: int = 8) -> str:
    """A PNG of frames spread over a film ``(frames, height, width, 3)``, and below each its map."""
    chosen = np.unique(np.linspace(0, len(frames) - 1, most).round().astype(int))
    peak = _peak(heat)
    columns = [
        np.concatenate([colored(frames[i], drawn.shape[0] // frames.shape[1]), drawn])
        for i in chosen
        for drawn in [on_pixels(frames[i], heat[i], peak)]
    ]
    return drawing.png(beside(columns))


def film(frames: "np.ndarray", heat: "np.ndarray", rate: float) -> str:
    """An animated WebP of all frames and their maps."""
    peak = _peak(heat)
    drawn = [on_pixels(frame, one, peak) for frame, one in zip(frames, heat, strict=True)]
    factor = drawn[0].shape[0] // frames.shape[1]
    pairs = [beside([colored(frame, factor), one]) for frame, one in zip(frames, drawn, strict=True)]
    return drawing.animation(np.stack(pairs), rate)


def _peak(heat: "np.ndarray") -> float:
    return float(np.abs(heat_of_size(np.asarray(heat, dtype=np.float64))).max()) if heat.size else 0.0


def spectrogram(energies: "np.ndarray", heat: "np.ndarray", seconds: float, label: str) -> str:
    """An SVG of energies ``(bands, steps)``, low bands first, under their map, over a time axis in seconds."""
    low, high = float(energies.min()), float(energies.max())
    grey = np.round(255 * (energies - low) / max(high - low, 1e-6)).astype(np.uint8)
    uri = drawing.png(on_pixels(grey[::-1], heat[::-1]))
    shape = (
        f'<image href="{uri}" x="{_LEFT}" y="4" width="{_WIDTH - _LEFT - 8}" height="{_PANEL}" '
        'preserveAspectRatio="none"/>'
    )
    return _svg([shape, _caption(label, 4 + _PANEL / 2), *_ticks(seconds, 4 + _PANEL)], 4 + _PANEL + _BOTTOM)


def waves(
    lines: "Sequence[np.ndarray]", heats: "Sequence[np.ndarray]", names: Sequence[str], span: float, unit: str = "s"
) -> str:
    """An SVG of lines over time, and under each its map as bars: upwards for, downwards against the answer.

    Args:
        lines: values ``(steps,)`` each; NaN is a gap.
        heats: as long as the lines, or of any other length over the same time.
        names: of the lines.
        span: length of the time axis.
        unit: of ``span``; empty: steps.
    """
    shapes, top = [], 4.0
    peak = max([float(np.abs(heat).max()) for heat in heats if heat.size] or [0.0])
    for line, heat, name in zip(lines, heats, names, strict=True):
        shapes += [_caption(name, top + 30), *_line(line, top, 56), *_bars(heat, top + 60, 40, peak)]
        top += 108
    return _svg([*shapes, *_ticks(span, top, unit)], top + _BOTTOM)


def _line(values: "np.ndarray", top: float, height: float) -> list[str]:
    """A line, or where there are more values than pixels the band between its extremes."""
    known = values[np.isfinite(values)]
    if not len(known):
        return []
    low, high = float(known.min()), float(known.max())
    width = _WIDTH - _LEFT - 8
    points: list[list[str]] = [[]]
    for i, value in enumerate(_thinned(values, 2 * width)):
        if not math.isfinite(value):
            points.append([])
            continue
        x = _LEFT + width * (i + 0.5) / min(len(values), 2 * width)
        points[-1].append(f"{x:.1f},{top + height - height * (value - low) / max(high - low, 1e-12):.1f}")
    return [f'<polyline points="{" ".join(run)}" fill="none" stroke="{_INK}"/>' for run in points if run]


def _thinned(values: "np.ndarray", most: int) -> "np.ndarray":
    """Least and greatest values by turns, where there are too many."""
    if len(values) <= most:
        return values
    parts = np.array_split(values, most // 2)
    return np.array([end for part in parts for end in (part.min(), part.max())])


def _bars(heat: "np.ndarray", top: float, height: float, peak: float) -> list[str]:
    width, middle = _WIDTH - _LEFT - 8, top + height / 2
    parts = np.array_split(heat, width // 3) if len(heat) > width // 3 else [heat[i : i + 1] for i in range(len(heat))]
    shapes = [f'<line x1="{_LEFT}" x2="{_LEFT + width}" y1="{middle}" y2="{middle}" stroke="#8a94a0"/>']
    each = width / max(1, len(parts))
    for i, part in enumerate(parts):
        value = float(part[np.abs(part).argmax()]) / peak if peak else 0.0
        size = abs(value) * height / 2
        if size >= 0.2:
            y = middle - size if value > 0 else middle
            shapes.append(
                f'<rect x="{_LEFT + i * each:.1f}" y="{y:.1f}" width="{max(1.0, 0.9 * each):.1f}" '
                f'height="{size:.1f}" fill="{color(value)}"/>'
            )
    return shapes


def _ticks(span: float, top: float, unit: str = "s") -> list[str]:
    """A time axis below a panel."""
    width = _WIDTH - _LEFT - 8
    shapes = [f'<line x1="{_LEFT}" x2="{_LEFT + width}" y1="{top + 4}" y2="{top + 4}" stroke="{_INK}"/>']
    step = _round_step(span / 6) if span > 0 else 1.0
    for i in range(int(span / step + 1e-9) + 1 if span > 0 else 1):
        x = _LEFT + width * (i * step / span if span > 0 else 0)
        shapes.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top + 4}" y2="{top + 9}" stroke="{_INK}"/>')
        text = f"{i * step:g}{' ' + unit if unit else ''}"
        anchor = "middle" if x < _WIDTH - 24 else "end"
        shapes.append(f'<text x="{x:.1f}" y="{top + 22}" text-anchor="{anchor}">{html.escape(text)}</text>')
    return shapes


def _round_step(step: float) -> float:
    """1, 2 or 5 times a power of ten, at least so much."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


def words(pieces: Sequence[str], values: Sequence[float], room: int = 3) -> str:
    """An SVG of a text in pieces: each has a colour behind it and a bar under it, solid for and dashed against the
    answer, as thick as it counts; so many pixels are free on either side of a piece."""
    strengths = scaled(np.asarray(values, dtype=np.float64))
    x, y, shapes = 4.0, 4.0, []
    for piece, strength, value in zip(pieces, strengths, values, strict=True):
        shown = piece if piece.strip() else "␣"
        width = _LETTER * sum(2 if ord(letter) > 0x2E7F else 1 for letter in shown) + 2 * room
        if x + width > _WIDTH and x > 4:
            x, y = 4.0, y + _LINE
        size = abs(float(strength))
        dash = "" if strength > 0 else ' stroke-dasharray="3 3"'
        shapes.append(
            f"<g><title>{html.escape(shown)}: {float(value):+.3g}</title>"
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="20" fill="{color(strength)}" '
            f'fill-opacity="{0.55 * size:.2f}"/>'
            f'<text x="{x + room:.1f}" y="{y + 14:.1f}" font-family="monospace">{html.escape(shown)}</text>'
            f'<line x1="{x:.1f}" x2="{x + width:.1f}" y1="{y + 23:.1f}" y2="{y + 23:.1f}" stroke="{color(strength)}" '
            f'stroke-width="{5 * size:.2f}"{dash}/></g>'
        )
        x += width + min(2, room)
    return _svg(shapes, y + _LINE)


def bars(names: Sequence[str], values: Sequence[float], most: int = 40) -> str:
    """An SVG of a bar per name, to the right for and to the left against the answer; the longest first."""
    order = sorted(range(len(names)), key=lambda i: -abs(values[i]))[:most]
    strengths = scaled(np.asarray([values[i] for i in order], dtype=np.float64))
    widest = min(24, max((len(names[i]) for i in order), default=1))
    left = 12 + _LETTER * widest
    half = (_WIDTH - left - 76) / 2
    middle = left + half
    shapes = [f'<line x1="{middle:.1f}" x2="{middle:.1f}" y1="2" y2="{4 + 20 * len(order)}" stroke="#8a94a0"/>']
    for row, (i, strength) in enumerate(zip(order, strengths, strict=True)):
        y, size = 4 + 20 * row, abs(float(strength)) * half
        name = names[i] if len(names[i]) <= widest else names[i][: widest - 1] + "…"
        shapes += [
            f'<text x="4" y="{y + 13}" font-family="monospace">{html.escape(name)}</text>',
            f'<rect x="{middle if strength > 0 else middle - size:.1f}" y="{y + 2}" width="{size:.1f}" height="14" '
            f'fill="{color(strength)}"/>',
            f'<text x="{_WIDTH - 4}" y="{y + 13}" text-anchor="end">{values[i]:+.3g}</text>',
        ]
    return _svg(shapes, 8 + 20 * len(order))


def columns(names: Sequence[str], heat: "np.ndarray", row: Mapping[str, Any]) -> str:
    """`bars` of columns, beside their cells."""
    cells = [row.get(name) for name in names]
    shown = [f"{cell:.6g}" if isinstance(cell, float) else str(cell) for cell in cells]
    return bars([f"{name} = {text}" for name, text in zip(names, shown, strict=True)], heat.tolist())


def points(places: "np.ndarray", heat: "np.ndarray") -> str:
    """An SVG of points ``(points, dims)`` within -1 and 1, from the front and from the side: full dots speak for, rings
    against the answer, as large as they count."""
    flat = places if places.shape[1] > 1 else np.concatenate([places, np.zeros_like(places)], axis=1)
    strengths, size = scaled(np.asarray(heat, dtype=np.float64)), _WIDTH // 2
    views = [(0, 1)] if flat.shape[1] == 2 else [(0, 1), (2, 1)]
    shapes = []
    for view, (a, b) in enumerate(views):
        for i in np.argsort(np.abs(strengths)):
            x = 20 + size * view + (size - 40) * (flat[i, a] + 1) / 2
            y = 20 + (size - 40) * (1 - flat[i, b]) / 2
            value = float(strengths[i])
            look = f'fill="{color(value)}"' if value > 0 else f'fill="none" stroke="{color(value)}"'
            shapes.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{1 + 5 * abs(value):.1f}" {look}/>')
    return _svg(shapes, size)


def tokens(heat: "np.ndarray") -> str:
    """Of a kind that draws nothing itself: a bar per token, or a picture of two axes."""
    flat = heat if heat.ndim <= 2 else heat.reshape(heat.shape[0], -1)
    if flat.ndim == 2 and min(flat.shape) > 1:
        return drawing.png(on_pixels(np.full(flat.shape, 160, dtype=np.uint8), flat))
    line = flat.reshape(-1)
    return waves([np.full(len(line), np.nan)], [line], ["tokens"], float(len(line)), "")


def _caption(text: str, y: float) -> str:
    shown = text if len(text) <= 9 else text[:8] + "…"
    return f'<text x="4" y="{y:.1f}"><title>{html.escape(text)}</title>{html.escape(shown)}</text>'


def _svg(shapes: Sequence[str], height: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {_WIDTH} {height:.0f}" font-family="sans-serif" font-size="12" fill="{_INK}">'
        f"{''.join(shapes)}</svg>"
    )
