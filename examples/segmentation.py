"""Dense output: a class for every pixel of scenes of handwritten digits.

Scenes are composed of scikit-learn's digits (8 x 8 pixels, written by people): two at random places of a dark canvas,
which may touch and cover one another. Each pixel is to be named by the digit it belongs to, or background. Digits of
the test scenes were written by other people: the set is in the order of its writers, and its last fifth is held out.

A pixel's channels are its 5 x 5 surroundings, for the model as for its baseline, a logistic regression per pixel. What
the model has beyond the baseline is the scene: latents that read all of it, and answer each pixel's query.

    python -m examples.segmentation --figure docs/figures/segmentation.png
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from examples.training import Curve, draw_curve, train
from perceiver_pytorch import InputModality, InputQueries, Output, PerceiverIO

SIZE, DIGIT, DIGITS_PER_SCENE, NEAR = 16, 8, 2, 5
BACKGROUND = 10
INKED = 5 / 16
"""How much ink, of 0 to 1, makes a pixel part of a digit."""


class Scenes:
    """Scenes composed at random of some of the digits.

    Args:
        images: ``(digits, 8, 8)`` in [0, 1].
        labels: ``(digits,)``.
        seed: of the random places.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, seed: int) -> None:
        self.images = torch.tensor(images, dtype=torch.float32)
        self.labels = torch.tensor(labels)
        self.random = torch.Generator().manual_seed(seed)

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Scenes ``(count, 16, 16)`` in [0, 1] and the class of each pixel, ``(count, 16, 16)`` int64."""
        scenes = torch.zeros(count, SIZE, SIZE)
        classes = torch.full((count, SIZE, SIZE), BACKGROUND)
        which = torch.randint(len(self.images), (count, DIGITS_PER_SCENE), generator=self.random)
        corners = torch.randint(SIZE - DIGIT + 1, (count, DIGITS_PER_SCENE, 2), generator=self.random)
        for scene, target, digits, places in zip(scenes, classes, which, corners.tolist(), strict=True):
            for digit, (top, left) in zip(digits, places, strict=True):
                box = (slice(top, top + DIGIT), slice(left, left + DIGIT))
                ink = self.images[digit]
                target[box] = torch.where(ink > INKED, self.labels[digit], target[box])
                scene[box] = torch.where(ink > INKED, ink, torch.maximum(scene[box], ink))
        return scenes, classes


def surroundings(scenes: Tensor) -> Tensor:
    """The 5 x 5 pixels around each, ``(batch, 16, 16, 25)``."""
    return F.unfold(scenes.unsqueeze(1), NEAR, padding=NEAR // 2).mT.unflatten(1, (SIZE, SIZE))


def mean_iou(predicted: Tensor, classes: Tensor) -> float:
    """Intersection over union, averaged over the ten digits and the background."""
    both = BACKGROUND + 1
    table = torch.bincount((classes * both + predicted).flatten(), minlength=both**2).view(both, both)
    hits = table.diagonal()
    return float((hits / (table.sum(0) + table.sum(1) - hits).clamp_min(1)).mean())


def build_model() -> PerceiverIO:
    """One query per pixel, made of what is there and where it is."""
    return PerceiverIO(
        modalities=[InputModality("scene", NEAR * NEAR, 2, num_freq_bands=8, max_freq=SIZE)],
        outputs=[Output("classes", InputQueries("scene"), BACKGROUND + 1)],
        depth=2,
        num_latents=32,
        latent_dim=128,
        num_latent_blocks_per_layer=2,
        num_latent_block_repeats=1,
        latent_heads=4,
        cross_heads=2,
        decoder_heads=4,
        widening_factor=2,
        decoder_widening_factor=2,
        query_dim=128,
        decoder_query_residual=True,  # what a pixel's surroundings say by themselves need not go through the latents
    )


def baseline(scenes: Scenes, count: int) -> LogisticRegression:
    """A logistic regression of a pixel's class on its surroundings."""
    images, classes = scenes.draw(count)
    return LogisticRegression(max_iter=200).fit(surroundings(images).flatten(0, 2).numpy(), classes.flatten().numpy())


def predict(model: PerceiverIO, images: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([model(surroundings(part)).argmax(-1) for part in images.split(64)])


def main(
    steps: Annotated[int, typer.Option(help="Training steps.")] = 1500,
    batch: Annotated[int, typer.Option(help="Scenes per step.")] = 16,
    seed: Annotated[int, typer.Option(help="Of weights and scenes.")] = 0,
    figure: Annotated[Path | None, typer.Option(help="Where to draw the curve and some scenes.")] = None,
    regression_scenes: Annotated[int, typer.Option(help="Scenes that the logistic regression is fitted to.")] = 200,
    test_scenes: Annotated[int, typer.Option(help="Scenes to measure on.")] = 500,
) -> None:
    """Trains on scenes of digits, and compares with a logistic regression per pixel on digits of other writers."""
    torch.manual_seed(seed)
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, DIGIT, DIGIT) / 16
    held_out = len(images) * 4 // 5
    training = Scenes(images[:held_out], labels[:held_out], seed)
    test_images, test_classes = Scenes(images[held_out:], labels[held_out:], seed + 1).draw(test_scenes)

    regression = baseline(training, regression_scenes)
    flat = surroundings(test_images).flatten(0, 2).numpy()
    by_regression = torch.tensor(regression.predict(flat)).view_as(test_classes)
    print(f"logistic regression per pixel: mIoU {mean_iou(by_regression, test_classes):.3f}")

    model = build_model()
    print(model.summary({"scene": (SIZE, SIZE)}))

    def loss() -> Tensor:
        scenes, classes = training.draw(batch)
        return F.cross_entropy(model(surroundings(scenes)).flatten(0, 2), classes.flatten())

    followed = slice(0, 100)
    curve = train(
        model,
        loss,
        steps=steps,
        learning_rate=2e-3,
        measure=lambda: mean_iou(predict(model, test_images[followed]), test_classes[followed]),
        every=100,
    )
    predicted = predict(model, test_images)
    score, other = mean_iou(predicted, test_classes), mean_iou(by_regression, test_classes)
    print(f"test scenes of other writers: mIoU {score:.3f} (logistic regression {other:.3f})")
    right, other_right = (float((p == test_classes).float().mean()) for p in (predicted, by_regression))
    print(f"pixels right: {right:.3f} (logistic regression {other_right:.3f})")
    if figure is not None:
        draw(figure, test_images[:5], test_classes[:5], by_regression[:5], predicted[:5], curve, other)
        print(f"wrote {figure}")


def draw(
    path: Path, images: Tensor, classes: Tensor, regression: Tensor, model: Tensor, curve: Curve, other: float
) -> None:
    """Scenes, their classes and both answers; beside them the curve."""
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.45, 1))
    rows = {"scene": images, "classes": classes, "per pixel": regression, "Perceiver IO": model}
    grid = left.subplots(len(rows), len(images))
    for row, (name, values) in zip(grid, rows.items(), strict=True):
        for axes, value in zip(row, values, strict=True):
            if name == "scene":
                axes.imshow(value.numpy(), cmap="gray", vmin=0, vmax=1)
            else:
                shown = value.float().masked_fill(value == BACKGROUND, torch.nan).numpy()
                axes.imshow(shown, cmap="tab10", vmin=-0.5, vmax=9.5, interpolation="nearest")
                axes.set_facecolor("#eef1f5")
            axes.set(xticks=[], yticks=[])
            for spine in axes.spines.values():
                spine.set_visible(False)
        row[0].set_ylabel(name, fontsize=9)
    axes = right.subplots()
    draw_curve(axes, curve, label="Perceiver IO", baselines={"logistic regression per pixel": other}, name="test mIoU")
    axes.set_ylim(0, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    typer.run(main)
