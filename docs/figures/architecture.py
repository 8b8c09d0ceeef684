"""Draws docs/figures/architecture.svg: what a layer reads, and what never exists. Run by ``make figures``."""

from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

INK, SOFT = "#1c2530", "#56616e"
DATA, TABLE, CODE, LATENT, PART = "#2563a8", "#d9822b", "#6b8e4e", "#7a4fa3", "#eef1f5"
MODALITIES = (
    ("video", "32 x 260 x 260", (("time", 0.32), ("height", 0.62), ("width", 0.62))),
    ("audio", "44,100 samples", (("time", 0.9),)),
    ("text", "512 bytes", (("position", 0.5),)),
)


def draw() -> Figure:
    figure = Figure(figsize=(11.5, 5.6))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 11.5), ylim=(0, 5.6))
    axes.axis("off")
    for i, (name, size, tables) in enumerate(MODALITIES):
        _context(axes, 0.25, 3.75 - 1.5 * i, name, size, tables)
    _layers(axes)
    _legend(axes)
    return figure


def _context(axes: Axes, x: float, y: float, name: str, size: str, tables: tuple[tuple[str, float], ...]) -> None:
    """One modality: its raw data, a position table per axis, its code."""
    axes.text(x, y + 1.18, name, weight="bold", color=INK, fontsize=11)
    axes.text(x + 0.75, y + 1.18, size, color=SOFT, fontsize=9.5)
    for shift in (0.16, 0.08, 0.0):
        axes.add_patch(Rectangle((x + shift, y + 0.12 + shift), 0.95, 0.72, fc=DATA, ec="white", lw=1, alpha=0.9))
    left = x + 1.4
    for label, length in tables:
        axes.add_patch(Rectangle((left, y + 0.12), 0.2, length, fc=TABLE, ec="white", lw=1))
        axes.text(left + 0.1, y - 0.02, label, ha="center", va="top", color=SOFT, fontsize=7.5)
        left += 0.5
    axes.add_patch(Rectangle((3.0, y + 0.42), 0.32, 0.14, fc=CODE, ec="white", lw=1))
    _arrow(axes, (3.45, y + 0.5), (4.55, 2.75 + 0.12 * (y - 2.25)), SOFT)


def _layers(axes: Axes) -> None:
    """Two layers of the encoder, the latents before them, and the head behind."""
    _latents(axes, 4.75, 4.62)
    axes.text(4.6, 5.28, "latent array (learned)", color=INK, fontsize=9.5)
    for i, x in enumerate((4.6, 7.25)):
        _box(axes, x, 2.2, 0.95, 1.5, "cross-\nattend")
        _box(axes, x + 1.2, 2.2, 0.95, 1.5, "latent\ntrans-\nformer")
        _arrow(axes, (x + 0.95, 2.95), (x + 1.2, 2.95))
        _arrow(axes, (x + 2.15, 2.95), (x + 2.65, 2.95))
        axes.text(x + 1.08, 3.85, f"layer {i + 1}", ha="center", color=SOFT, fontsize=9.5)
    _arrow(axes, (5.07, 4.55), (5.07, 3.75))
    axes.add_patch(
        FancyArrowPatch((3.6, 1.35), (7.72, 2.15), connectionstyle="arc3,rad=0.28", arrowstyle="-|>", color=SOFT,
                        mutation_scale=12, lw=1.2)
    )  # fmt: skip
    axes.text(5.9, 0.72, "every layer reads all modalities again", ha="center", color=SOFT, fontsize=9)
    axes.text(9.98, 2.95, "…", fontsize=15, va="center", ha="center", color=INK)
    _box(axes, 10.2, 2.2, 1.05, 1.5, "pool\nhead")
    axes.text(10.72, 1.95, "classes", ha="center", va="top", color=SOFT, fontsize=9.5)


def _latents(axes: Axes, x: float, y: float) -> None:
    for i in range(6):
        axes.add_patch(Rectangle((x + 0.13 * i, y), 0.11, 0.5, fc=LATENT, ec="none", alpha=0.55 + 0.07 * i))


def _legend(axes: Axes) -> None:
    rows = (
        (DATA, "raw data (batch, *axes, channels), as it is: uint8 stays uint8"),
        (TABLE, "one small table of Fourier features per axis, shared by the batch"),
        (CODE, "modality code, one vector"),
    )
    for i, (color, text) in enumerate(rows):
        y = 5.2 - 0.27 * i
        axes.add_patch(Rectangle((6.9, y), 0.2, 0.15, fc=color, ec="none"))
        axes.text(7.2, y + 0.07, text, va="center", color=INK, fontsize=9)
    axes.text(6.9, 4.33, "tokens x channels: never built", color=INK, fontsize=9, style="italic")


def _box(axes: Axes, x: float, y: float, width: float, height: float, text: str) -> None:
    axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.08", fc=PART, ec=INK))
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", color=INK, fontsize=10)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], color: str = INK) -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, color=color, lw=1.2,
                                   shrinkA=0, shrinkB=0))  # fmt: skip


if __name__ == "__main__":
    target = Path(__file__).with_name("architecture.svg")
    with matplotlib.rc_context({"svg.hashsalt": "architecture", "font.family": "sans-serif"}):
        draw().savefig(target, metadata={"Date": None}, facecolor="white")
    print(target)
