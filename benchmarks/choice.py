"""Is the way that is chosen for a cross-attend the fastest one? ``python -m benchmarks.choice``

Measures every way over a grid of shapes, prints how the chosen one compares with the best, and fits the factors of the
backends' counts anew (needs scipy for that).
"""

import argparse
import itertools
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from perceiver_pytorch.ops import Context, choose, cost, cross_attend, use_backend

WAYS = {name: counts for name, counts in choose.costs().items() if name != "triton"}
"""Those that a CPU has."""
AXES = {(128,): 13, (512,): 0, (2048,): 13, (8, 8): 13, (64, 64): 13, (224, 224): 13}
"""Lengths of the axes, and features of each."""
CHANNELS = (1, 3, 16, 64, 256)
QUERIES = ((12, 1, 64), (64, 1, 64), (256, 1, 64), (256, 8, 32))
"""Latents, heads, channels of a head."""
ROUNDS = 3
"""Times that the ways take turns; the best median counts, since another process only ever makes a way slower."""
PRODUCT = 1.3e-5
"""Microseconds that a channel of a token takes at least per channel of its key and value, forward: four operations of a
matrix product. The grid's sizes hardly tell, and larger ones depend on it."""
LONGEST = 6e8
"""(row, token) pairs times channels / 16 beyond which a way is too slow to wait for."""


@dataclass
class Shape:
    """One cross-attend, and what each way took for it, in seconds."""

    axes: tuple[int, ...]
    features: int
    channels: int
    latents: int
    heads: int
    dim_head: int
    training: bool
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return self.latents * self.heads

    def context(self) -> Context:
        torch.manual_seed(0)
        batch = 1 if len(self.axes) == 2 and self.axes[0] > 100 else 2
        tables = tuple(torch.randn(length, self.features) for length in self.axes) if self.features else ()
        return Context(torch.randn(batch, *self.axes, self.channels), tables, torch.tensor([0.0, 0.0, 1.0]))

    def work(self, context: Context) -> Callable[[], None]:
        inner = self.heads * self.dim_head
        queries = torch.randn(context.data.shape[0], self.latents, inner, requires_grad=self.training)
        key, value = (torch.randn(inner, context.num_channels) / context.num_channels**0.5 for _ in range(2))
        norm = torch.ones(context.num_channels)

        def run() -> None:
            with torch.set_grad_enabled(self.training):
                output = cross_attend(
                    queries, [context], key_weight=key, value_weight=value, norm_weight=norm, norm_bias=norm * 0,
                    heads=self.heads,
                )  # fmt: skip
                if self.training:
                    torch.autograd.grad(output.sum(), queries)

        return run

    def measure(self, budget: float) -> None:
        context = self.context()
        run = self.work(context)
        for way in list(WAYS) * ROUNDS:
            if self.estimate(way) > 5e6:
                continue
            try:
                with use_backend(way):
                    seconds = median_time(run, budget)
            except ValueError:
                continue  # the way does not take so many channels
            self.seconds[way] = min(seconds, self.seconds.get(way, seconds))

    def chosen(self) -> str:
        return min(self.seconds, key=self.estimate)

    def estimate(self, way: str) -> float:
        """Microseconds."""
        problem = self.context(), self.rows, self.heads * self.dim_head
        return cost.estimate(WAYS[way], *problem, training=self.training)

    def numbers(self, way: str) -> list[float]:
        """How often the way does what it counts."""
        counts = WAYS[way](self.context(), self.rows, self.heads * self.dim_head)
        return [0.0 if math.isinf(count.number) else count.number for count in counts]


def median_time(run: Callable[[], None], budget: float) -> float:
    run()
    times: list[float] = []
    start = time.perf_counter()
    while len(times) < 3 or (time.perf_counter() - start < budget and len(times) < 20):
        before = time.perf_counter()
        run()
        times.append(time.perf_counter() - before)
    return statistics.median(times)


def shapes() -> Iterator[Shape]:
    for (axes, features), channels, queries, training in itertools.product(
        AXES.items(), CHANNELS, QUERIES, (False, True)
    ):
        shape = Shape(axes, features, channels, *queries, training)
        tokens = 1
        for length in axes:
            tokens *= length
        if tokens * shape.rows * max(16, channels) / 16 <= LONGEST:
            yield shape


def table(measured: list[Shape]) -> str:
    lines = [f"{'axes':>12} channels latents heads training {'chosen':>10} {'best':>10}  times as long as the best"]
    for shape in measured:
        best = min(shape.seconds, key=lambda way: shape.seconds[way])
        lines.append(
            f"{'x'.join(map(str, shape.axes)):>12} {shape.channels:8} {shape.latents:7} {shape.heads:5} "
            f"{'yes' if shape.training else 'no':>8} {shape.chosen():>10} {best:>10}  {ratio(shape):.2f}"
        )
    ratios = [ratio(shape) for shape in measured]
    within = sum(value <= 1.2 for value in ratios) / len(ratios)
    lines.append(f"within 20 % of the best: {within:.0%} of {len(ratios)}; mean {statistics.mean(ratios):.3f}")
    for way in WAYS:
        alone = [s.seconds.get(way, max(s.seconds.values())) / min(s.seconds.values()) for s in measured]
        lines.append(f"always {way}: mean {statistics.mean(alone):.2f}")
    return "\n".join(lines)


def ratio(shape: Shape) -> float:
    return shape.seconds[shape.chosen()] / min(shape.seconds.values())


def fitted(measured: list[Shape]) -> str:
    """Factors for the backends' counts, as they stand there."""
    lines = []
    for training in (False, True):
        seen = [shape for shape in measured if shape.training == training]
        for way, factors in fit(seen, training).items():
            numbers = ", ".join(f"{factor:.3g}" for factor in factors)
            lines.append(f"{'training' if training else 'forward':>8} {way:>10}: {numbers}")
    return "\n".join(lines)


def fit(measured: list[Shape], training: bool, steps: int = 30_000) -> dict[str, np.ndarray]:
    """Factors by which the choice is good: from those that estimate the times best (least squares of relative errors),
    random steps that make the chosen ways faster, by what they take beyond the best (to the fourth power: the worst
    counts most), and hardly move what the choice does not depend on.
    """
    from scipy.optimize import nnls

    counts = {way: np.array([shape.numbers(way) for shape in measured]) for way in WAYS}
    times = np.array([[1e6 * s.seconds.get(way, np.inf) for way in WAYS] for s in measured])
    allowed = np.isfinite([[shape.estimate(way) for way in WAYS] for shape in measured]) & np.isfinite(times)
    factors = {}
    for column, way in enumerate(WAYS):
        rows = np.isfinite(times[:, column])
        factors[way], _ = nnls(counts[way][rows] / times[rows, column, None], np.ones(rows.sum()))

    least_product = np.array([0.0, 0.0, 0.0, PRODUCT * (3 if training else 1)])
    factors["projected"] = np.maximum(factors["projected"], least_product)

    def badness(factors: dict[str, np.ndarray]) -> float:
        estimates = np.stack([counts[way] @ factors[way] for way in WAYS], 1)
        chosen = np.where(allowed, estimates, np.inf).argmin(1)
        beyond = times[np.arange(len(times)), chosen] / times.min(1) - 1
        moved = np.concatenate([np.log(factors[way][start > 0] / start[start > 0]) for way, start in starts.items()])
        return float((beyond**4).mean() + 1e-3 * (moved**2).mean())

    starts = dict(factors)
    random, least = np.random.default_rng(0), badness(factors)
    for _ in range(steps):
        step = random.choice((0.03, 0.1, 0.3))
        changed = {way: values * np.exp(random.normal(0, step, values.shape)) for way, values in factors.items()}
        changed["projected"] = np.maximum(changed["projected"], least_product)
        if (now := badness(changed)) < least:
            factors, least = changed, now
    return factors


def measure_all(budget: float) -> list[Shape]:
    measured = []
    for shape in shapes():
        shape.measure(budget)
        if shape.seconds:
            measured.append(shape)
            print(f"\r{len(measured)} shapes", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=0.2, help="seconds per way and shape")
    parser.add_argument("--save", help="JSON file for the measured times")
    parser.add_argument("--load", help="such a file, instead of measuring")
    parser.add_argument("--fit", action="store_true", help="print factors fitted to the times")
    arguments = parser.parse_args()
    if arguments.load:
        measured = [
            Shape(**{**values, "axes": tuple(values["axes"])})
            for values in json.loads(Path(arguments.load).read_text())
        ]
    else:
        measured = measure_all(arguments.budget)
    if arguments.save:
        Path(arguments.save).write_text(json.dumps([asdict(shape) for shape in measured], indent=1))
    print(table(measured))
    if arguments.fit:
        print(fitted(measured))


if __name__ == "__main__":
    main()
