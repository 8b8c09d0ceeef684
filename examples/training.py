"""What the examples have in common: a training loop of a given time, and its curve."""

import time
from collections.abc import Callable

import torch
from matplotlib.axes import Axes
from torch import Tensor, nn

INK, OURS, THEIRS = "#1c2530", "#2563a8", "#d9822b"
Curve = list[tuple[float, float]]


def train(
    model: nn.Module,
    loss: Callable[[], Tensor],
    *,
    steps: int,
    learning_rate: float = 1e-3,
    measure: Callable[[], float] | None = None,
    every: int = 250,
    log: Callable[[str], None] = print,
) -> Curve:
    """Trains with Adam, a short warm-up and a cosine.

    Args:
        model: what is trained.
        loss: draws a batch and gives its loss.
        steps: how many.
        learning_rate: the highest.
        measure: a figure to follow, such as the accuracy on other data; default: the mean loss.
        every: steps between two figures.
        log: is given a line for each.

    Returns:
        Steps and figures.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=1e-4, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=0.05)
    curve: Curve = []
    losses: list[float] = []
    start = time.monotonic()
    for step in range(1, steps + 1):
        model.train()
        value = loss()
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(value.item())
        if step % every == 0 or step == steps:
            model.eval()
            mean = sum(losses) / len(losses)
            losses.clear()
            with torch.no_grad():
                figure = mean if measure is None else measure()
            curve.append((step, figure))
            log(f"step {step}/{steps}  loss {mean:.4f}  measured {figure:.4f}  {time.monotonic() - start:.0f} s")
    model.eval()
    return curve


def draw_curve(axes: Axes, curve: Curve, *, label: str, baselines: dict[str, float], name: str) -> None:
    """The curve of a figure over the steps, and what simpler methods reach as lines."""
    axes.plot(*zip(*curve, strict=True), color=OURS, label=label)
    for i, (other, value) in enumerate(baselines.items()):
        axes.axhline(value, color=THEIRS, ls=("--", ":", "-.")[i % 3], label=other)
    axes.set(xlabel="step", ylabel=name)
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
