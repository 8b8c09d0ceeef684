"""Several tasks from one Perceiver: the first three latents answer a task each.

Release 1.4.0 suggests it for `MultiModalityPerceiverNoPooling`: "the first 3 latent outputs to predict each a
different task". Here a row of the built-in set `digits` (a written digit, a dialled digit, a question about both) has
three tasks: which digit is written, which is dialled, and the answer to the question. Three ways are compared:

- latents: a head for each of the first three latents; the other latents are free;
- groups: the latents are divided into three groups, and a task's head reads the mean of its group;
- single: three models with one task each, whose head reads the mean of all latents.

All read the same rows in the same number of steps; single models together take three times the work.

    python -m examples.multi_task --figure docs/figures/multi_task.png
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import Tensor, nn

from examples.training import INK, OURS, THEIRS, Curve, train
from perceiver_pytorch import InputModality, MultiModalityPerceiverNoPooling
from perceiver_pytorch.data.builtin.digits import DigitsRow, digits_rows, digits_tones

TASKS = ("written", "dialled", "answer")
WAYS = ("latents", "groups", "single")
FRAME, HOP, BANDS, WORD_DIM = 200, 100, 48, 24
WAY_COLOURS = dict(zip(WAYS, (OURS, THEIRS, "#1d7a3a"), strict=True))


@dataclass(frozen=True)
class Rows:
    """Rows of the set, as tensors.

    Attributes:
        images: ``(rows, 8, 8, 1)`` in [0, 1].
        sounds: ``(rows, frames, bands)``, logarithmic spectra.
        words: int64 ``(rows, words)``, 0 behind the last one.
        targets: {task: int64 ``(rows,)``}.
    """

    images: Tensor
    sounds: Tensor
    words: Tensor
    targets: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, places: Tensor | slice) -> "Rows":
        targets = {task: values[places] for task, values in self.targets.items()}
        return Rows(self.images[places], self.sounds[places], self.words[places], targets)


def load_rows() -> tuple[dict[str, Rows], dict[str, int], int]:
    """Rows by split, the number of classes by task, and the number of words."""
    digits = load_digits()
    rows = list(digits_rows(digits.target))
    spectra = torch.stack([spectrum(tone) for tone in digits_tones()])
    images = torch.tensor(digits.images / 16, dtype=torch.float32)[..., None]
    known = {word: i + 1 for i, word in enumerate(sorted({word for row in rows for word in words_of(row)}))}
    longest = max(len(words_of(row)) for row in rows)  # of all splits: where a word stands is told by its share of it
    answers = {answer: i for i, answer in enumerate(sorted({row.answer for row in rows}))}
    found = {}
    for split in ("train", "val", "test"):
        chosen = [row for row in rows if row.split == split]
        words = torch.zeros(len(chosen), longest, dtype=torch.int64)
        for place, row in enumerate(chosen):
            ids = [known[word] for word in words_of(row)]
            words[place, : len(ids)] = torch.tensor(ids)
        values = {
            "written": [row.written for row in chosen],
            "dialled": [row.dialled for row in chosen],
            "answer": [answers[row.answer] for row in chosen],
        }
        found[split] = Rows(
            images[[row.image for row in chosen]],
            spectra[[row.tone for row in chosen]],
            words,
            {task: torch.tensor(each) for task, each in values.items()},
        )
    return found, {"written": 10, "dialled": 10, "answer": len(answers)}, len(known)


def words_of(row: DigitsRow) -> list[str]:
    return re.findall(r"\w+", row.question.lower())


def spectrum(tone: np.ndarray) -> Tensor:
    """Logarithmic magnitudes of frames of 25 ms, up to 1,880 Hz, about 0 and of deviation 1."""
    frames = np.lib.stride_tricks.sliding_window_view(tone, FRAME)[::HOP] * np.hanning(FRAME)
    values = np.log(np.abs(np.fft.rfft(frames))[:, :BANDS] + 1e-3)
    return torch.tensor((values - values.mean()) / values.std(), dtype=torch.float32)


class Network(nn.Module):
    """A Perceiver and heads that read some of its latents.

    Args:
        tasks: {task: number of classes}.
        num_words: that questions have.
        way: how heads read: ``"latents"``, or ``"groups"``, which of a single task is all latents.
    """

    def __init__(self, tasks: Mapping[str, int], num_words: int, way: str) -> None:
        super().__init__()
        self.way = way
        self.embedding = nn.Embedding(num_words + 1, WORD_DIM, padding_idx=0)
        self.encoder = MultiModalityPerceiverNoPooling(
            modalities=[
                InputModality("image", 1, 2, num_freq_bands=4, max_freq=8.0),
                InputModality("sound", BANDS, 1, num_freq_bands=4, max_freq=15.0),
                InputModality("question", WORD_DIM, 1, num_freq_bands=4, max_freq=12.0),
            ],
            depth=2,
            num_latents=12,
            latent_dim=64,
            cross_heads=2,
            latent_heads=4,
            cross_dim_head=32,
            latent_dim_head=16,
            num_latent_blocks_per_layer=1,
            style="paper",
        )
        self.heads = nn.ModuleDict(
            {task: nn.Sequential(nn.LayerNorm(64), nn.Linear(64, size)) for task, size in tasks.items()}
        )

    def forward(self, rows: Rows) -> dict[str, Tensor]:
        """``(rows, classes)`` for each task."""
        inputs = {"image": rows.images, "sound": rows.sounds, "question": self.embedding(rows.words)}
        latents = self.encoder(inputs, mask={"question": rows.words > 0})
        if self.way == "latents":
            vectors: Sequence[Tensor] = latents[:, : len(self.heads)].unbind(1)
        else:
            vectors = [group.mean(1) for group in latents.tensor_split(len(self.heads), dim=1)]
        return {task: head(vector) for (task, head), vector in zip(self.heads.items(), vectors, strict=True)}

    def loss(self, rows: Rows) -> Tensor:
        """Sum of the tasks' cross-entropies."""
        outputs = self(rows)
        return torch.stack([F.cross_entropy(output, rows.targets[task]) for task, output in outputs.items()]).sum()

    @torch.no_grad()
    def accuracy(self, rows: Rows) -> dict[str, float]:
        """By task."""
        parts = [self(rows[slice(start, start + 512)]) for start in range(0, len(rows), 512)]
        found = {task: torch.cat([part[task] for part in parts]).argmax(-1) for task in self.heads}
        return {task: float((values == rows.targets[task]).float().mean()) for task, values in found.items()}


@dataclass(frozen=True)
class Result:
    """What one way came to with one seed.

    Attributes:
        accuracy: {task: of the test rows}.
        curve: of the answer on the validation rows.
        parameters: of all its models together.
        seconds: that training took.
    """

    accuracy: dict[str, float]
    curve: Curve
    parameters: int
    seconds: float


def trained(way: str, data: tuple[dict[str, Rows], dict[str, int], int], steps: int, batch: int, seed: int) -> Result:
    """Trains the model, or the three models, of one way."""
    rows, sizes, num_words = data
    asked = [sizes] if way != "single" else [{task: size} for task, size in sizes.items()]
    accuracy: dict[str, float] = {}
    curve: Curve = []
    parameters, start = 0, time.monotonic()
    for tasks in asked:
        torch.manual_seed(seed)
        model = Network(tasks, num_words, way)
        batches = drawn(rows["train"], batch, seed)
        measure = partial(answer_accuracy, model, rows["val"]) if "answer" in tasks else None
        found = train(
            model,
            partial(loss_of_next, model, batches),
            steps=steps,
            learning_rate=2e-3,
            measure=measure,
            every=max(1, steps // 10),
            log=partial(print, f"  {', '.join(tasks)}:", flush=True),
        )
        curve = found if "answer" in tasks else curve
        accuracy |= model.accuracy(rows["test"])
        parameters += sum(parameter.numel() for parameter in model.parameters())
    return Result(accuracy, curve, parameters, time.monotonic() - start)


def loss_of_next(model: Network, batches: Iterator[Rows]) -> Tensor:
    return model.loss(next(batches))


def answer_accuracy(model: Network, rows: Rows) -> float:
    return model.accuracy(rows)["answer"]


def drawn(rows: Rows, batch: int, seed: int) -> Iterator[Rows]:
    """Batches without end, the same ones for every way."""
    random = torch.Generator().manual_seed(seed)
    while True:
        yield rows[torch.randint(len(rows), (batch,), generator=random)]


def main(
    steps: Annotated[int, typer.Option(help="Training steps of each model.")] = 800,
    batch: Annotated[int, typer.Option(help="Rows per step.")] = 64,
    seeds: Annotated[int, typer.Option(help="Number of seeds.")] = 3,
    figure: Annotated[Path | None, typer.Option(help="Where to draw the results.")] = None,
) -> None:
    """Trains three tasks in three ways, and prints the accuracy of each on the test rows."""
    data = load_rows()
    results: dict[str, list[Result]] = {way: [] for way in WAYS}
    for seed in range(seeds):
        for way in WAYS:
            print(f"{way}, seed {seed}", flush=True)
            results[way].append(trained(way, data, steps, batch, seed))
    print("| way | " + " | ".join(TASKS) + " | parameters | seconds |\n|" + "---|" * (len(TASKS) + 3))
    for way, found in results.items():
        print(f"| {way} | " + " | ".join(told(found, task) for task in TASKS), end=" | ")
        print(f"{found[0].parameters:,} | {fmean(one.seconds for one in found):.0f} |")
    if figure is not None:
        draw(figure, results)
        print(f"wrote {figure}")


def told(found: Sequence[Result], task: str) -> str:
    """Mean accuracy, and the lowest and highest of the seeds."""
    values = [one.accuracy[task] for one in found]
    return f"{fmean(values):.3f} ({min(values):.3f}-{max(values):.3f})"


def draw(path: Path, results: Mapping[str, Sequence[Result]]) -> None:
    """Accuracy of each task by way, and how the answer was learned."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
    _draw_tasks(left, results)
    for way, found in results.items():
        for one in found:
            label = way if one is found[0] else None
            right.plot(*zip(*one.curve, strict=True), color=WAY_COLOURS[way], alpha=0.8, linewidth=1.4, label=label)
    right.set(xlabel="step", ylabel="accuracy of the answer, validation rows", ylim=(0, 1))
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    right.legend(frameon=False, loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def _draw_tasks(axes: Axes, results: Mapping[str, Sequence[Result]]) -> None:
    """A bar is the mean over the seeds, a dot one of them."""
    width = 0.8 / len(results)
    for i, (way, found) in enumerate(results.items()):
        places = np.arange(len(TASKS)) + (i - (len(results) - 1) / 2) * width
        means = [fmean(one.accuracy[task] for one in found) for task in TASKS]
        axes.bar(places, means, width=0.9 * width, color=WAY_COLOURS[way], alpha=0.75, label=way)
        for one in found:
            axes.plot(places, [one.accuracy[task] for task in TASKS], ".", color=INK, markersize=4)
        for place, mean in zip(places, means, strict=True):
            axes.text(place, 0.03, f"{mean:.2f}", ha="center", fontsize=8, color="white")
    axes.set_xticks(range(len(TASKS)), TASKS)
    axes.set(ylabel="accuracy, test rows", ylim=(0, 1))


if __name__ == "__main__":
    typer.run(main)
