"""What do the chunks of a split text embedding learn? ``python -m benchmarks.chunks FOLDER``

Trains the middle cell of the experiment split-text on TREC with several seeds, with chunks for layers and with the
whole embedding for all of them, and looks at the vectors that the layers read, as docs/experiments/split-text.md
planned it:

- linear probes of each chunk for a question's label (of the mean vector of its words; learned on train rows, measured
  on test rows), for the class of a word (function word or not) and for its frequency (R² of the logarithm). The last
  two are learned on four fifths of the words and measured on the others, with a word's mean vector over the train rows;
- linear CKA of each pair of chunks, over the same words (Kornblith et al. 2019, arXiv 1905.00414);
- accuracy on the test rows with one chunk set to zero.

The same is done with the weights that training begins with. Results go to ``--results`` (JSON); tables are printed.
"""

import argparse
import json
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from perceiver_pytorch._files import write_text
from perceiver_pytorch.data import TableDataset, in_order
from perceiver_pytorch.data.word_tokens import words_of
from perceiver_pytorch.experiments.cells import Cell, all_cells
from perceiver_pytorch.experiments.library import find_experiment
from perceiver_pytorch.experiments.matching import Builder
from perceiver_pytorch.experiments.training import KeptRows, train_cell
from perceiver_pytorch.models import split_rules
from perceiver_pytorch.nn.stems.words import WordStem
from perceiver_pytorch.training.table.build import run_model
from perceiver_pytorch.training.table.evaluation import predict
from perceiver_pytorch.training.table.run import TableRun

LEAST_COUNT = 2  # of a word in the train rows
FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a about above after again against all am an and any are as at be because been before being below between both
        but by can could did do does doing down during each few for from had has have having he her here hers him his
        how i if in into is it its itself just me might more most must my no nor not of off on once only or other our
        out over own same shall she should so some such than that the their them then there these they this those
        through to too under until up us very was we were what when where which while who whom whose why will with would
        you your
        """,
    )
)
"""Articles, pronouns, prepositions, conjunctions, auxiliaries, question words and the like. Marks and numbers have no
class and are left out."""


@dataclass(frozen=True)
class Vectors:
    """What the layers read, as the stem makes it.

    Attributes:
        words: {word: its mean vector over the train rows}, float32 (channels,).
        counts: {word: how often it is in the train rows}.
        rows: {split: (rows, channels)}, mean vectors of the words of each row.
        labels: {split: int64 (rows,)}.
    """

    words: dict[str, np.ndarray]
    counts: dict[str, int]
    rows: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]


def cell_of(level: str, seed: int, folder: Path) -> Cell:
    """The middle cell of split-text on TREC by words."""
    wanted = {"text": level, "width": "16", "depth": "3", "style": "paper", "tied": "untied"}
    cells = all_cells(find_experiment("split-text"), [seed], folder)
    return next(cell for cell in cells if cell.set == "trec-words" and cell.levels == wanted)


def looked_at(level: str, seed: int, folder: Path) -> dict[str, Any]:
    """Everything about one model, trained and fresh."""
    cell, kept = cell_of(level, seed, folder), KeptRows()
    with tempfile.TemporaryDirectory() as place:
        told = train_cell(cell, Path(place) / "run", ("score", "loss"), keep=True, kept=kept)
        trained: nn.Module = TableRun.open(Path(place) / "run").model()
    data = kept.data
    assert data is not None
    torch.manual_seed(seed)
    fresh = Builder(cell)(data.spec, data.config.model)
    depth = cell.config.model.depth or 1
    found: dict[str, Any] = {"score": told["metrics"]["score"]}
    for name, model in (("trained", trained), ("fresh", fresh)):
        vectors = vectors_of(model.eval(), data.datasets)
        width = next(iter(vectors.words.values())).size
        parts = {f"chunk {i + 1}": split_rules.seen_channels("chunks", width, depth, i) for i in range(depth)}
        found[name] = {
            "probes": {part: probes(vectors, channels) for part, channels in parts.items()},
            "all": probes(vectors, slice(None)),
            "cka": similarities(vectors, parts),
        }
        if name == "trained":
            found["zeroed"] = {part: score_without(model, data.datasets["test"], parts[part]) for part in parts}
            found["all zeroed"] = score_without(model, data.datasets["test"], slice(None))
    return found


def vectors_of(model: nn.Module, datasets: dict[str, TableDataset]) -> Vectors:
    """Runs the model over train and test rows and gathers what its stem makes."""
    sums: dict[str, Any] = defaultdict(float)
    counts: Counter[str] = Counter()
    rows: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    labels: dict[str, list[int]] = {"train": [], "test": []}
    for split in rows:
        dataset = datasets[split]
        (column,), (target,) = dataset.spec.modalities, dataset.spec.targets
        for batch in in_order(dataset, 256):
            with torch.no_grad(), stem_output(model) as outputs:
                run_model(model, batch, dataset.spec.targets)
            for row, made in zip(batch.rows.tolist(), outputs[0].numpy(), strict=True):
                words = [word.folded for word in words_of(dataset.table.row(row)[column.name])][: len(made)]
                rows[split].append(made[: len(words)].mean(0))
                for word, vector in zip(words, made, strict=False) if split == "train" else ():
                    sums[word] = sums[word] + vector
                    counts[word] += 1
            labels[split] += batch.targets[target.name].tolist()
    frequent = [word for word in sums if counts[word] >= LEAST_COUNT]
    return Vectors(
        {word: sums[word] / counts[word] for word in frequent},
        {word: counts[word] for word in frequent},
        {split: np.stack(each) for split, each in rows.items()},
        {split: np.array(each) for split, each in labels.items()},
    )


@contextmanager
def stem_output(model: nn.Module, change: Callable[[Tensor], Tensor] | None = None) -> Iterator[list[Tensor]]:
    """What the stem of words gives within the block, and in its place what ``change`` makes of it."""
    (stem,) = (module for module in model.modules() if isinstance(module, WordStem))
    outputs: list[Tensor] = []

    def seen(module: nn.Module, given: Any, made: Any) -> Any:
        outputs.append(made[0])
        return None if change is None else (change(made[0]), *made[1:])

    handle = stem.register_forward_hook(seen)
    try:
        yield outputs
    finally:
        handle.remove()


def probes(vectors: Vectors, channels: Any) -> dict[str, float]:
    """Accuracy for labels, balanced accuracy for classes of words, R² for their frequencies."""
    label = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    label.fit(vectors.rows["train"][:, channels], vectors.labels["train"])
    letters = [word for word in vectors.words if word[0].isalpha()]
    words = np.stack([vectors.words[word][channels] for word in letters])
    is_function = np.array([word in FUNCTION_WORDS for word in letters])
    frequency = np.log([vectors.counts[word] for word in letters])
    classes = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, class_weight="balanced"))
    ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 7)))
    folds = {"shuffle": True, "random_state": 0}
    return {
        "label": float(label.score(vectors.rows["test"][:, channels], vectors.labels["test"])),
        "word class": _mean_score(classes, words, is_function, "balanced_accuracy", StratifiedKFold(5, **folds)),
        "frequency": _mean_score(ridge, words, frequency, "r2", KFold(5, **folds)),
    }


def _mean_score(model: Any, x: np.ndarray, y: np.ndarray, scoring: str, folds: Any) -> float:
    return float(cross_val_score(model, x, y, scoring=scoring, cv=folds).mean())


def similarities(vectors: Vectors, parts: dict[str, Any]) -> dict[str, float]:
    """Linear CKA of each pair of chunks."""
    words = np.stack(list(vectors.words.values()))
    return {f"{a} and {b[-1]}": cka(words[:, parts[a]], words[:, parts[b]]) for a, b in combinations(parts, 2)}


def cka(x: np.ndarray, y: np.ndarray) -> float:
    """Linear centred kernel alignment of (items, channels) and (items, channels): 1 where they are alike but for a
    rotation and a scale."""
    x, y = (np.asarray(values, dtype=np.float64) - np.mean(values, axis=0) for values in (x, y))
    return float(np.sum((x.T @ y) ** 2) / np.sqrt(np.sum((x.T @ x) ** 2) * np.sum((y.T @ y) ** 2)))


def score_without(model: nn.Module, rows: TableDataset, channels: Any) -> float:
    """Accuracy with these channels of every word at zero."""

    def zeroed(made: Tensor) -> Tensor:
        made = made.clone()
        made[..., channels] = 0
        return made

    with stem_output(model, zeroed):
        (metrics,) = predict(model, rows).metrics().values()
    return float(metrics["accuracy"])


def summary(found: Sequence[dict[str, Any]], *keys: str) -> str:
    """Mean and deviation over seeds of the number under these keys."""
    values = []
    for each in found:
        value: Any = each
        for key in keys:
            value = value[key]
        values.append(value)
    return f"{fmean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def tables(results: dict[str, list[dict[str, Any]]]) -> str:
    """The results as Markdown."""
    lines = ["| embedding | vectors | label | word class | frequency |", "|---|---|---|---|---|"]
    for level, found in results.items():
        for state in ("trained", "fresh"):
            names = [*found[0][state]["probes"], "all"] if level == "split" else ["all"]
            for part in names:
                keys = (state, "all") if part == "all" else (state, "probes", part)
                cells = [summary(found, *keys, probe) for probe in ("label", "word class", "frequency")]
                lines.append(f"| {level} | {part}, {state} | {' | '.join(cells)} |")
    lines += ["", "| embedding | pair | trained | fresh |", "|---|---|---|---|"]
    for level, found in results.items():
        for pair in found[0]["trained"]["cka"]:
            trained, fresh = (summary(found, state, "cka", pair) for state in ("trained", "fresh"))
            lines.append(f"| {level} | {pair} | {trained} | {fresh} |")
    parts = [*results["split"][0]["zeroed"], "any"]
    lines += ["", f"| embedding | accuracy | without {' | without '.join(parts)} |", "|---" * (len(parts) + 2) + "|"]
    for level, found in results.items():
        cells = [summary(found, "score"), *(summary(found, "zeroed", part) for part in found[0]["zeroed"])]
        lines.append(f"| {level} | {' | '.join([*cells, summary(found, 'all zeroed')])} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="has text/trec/manifest.csv")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/chunks.json"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    results: dict[str, list[dict[str, Any]]] = {}
    for level in ("split", "whole"):
        for seed in range(options.seeds):
            results.setdefault(level, []).append(looked_at(level, seed, options.folder))
            print(f"{level}, seed {seed}: accuracy {results[level][-1]['score']:.3f}", flush=True)
    write_text(options.results, json.dumps(results, indent=1) + "\n")
    print(tables(results))


if __name__ == "__main__":
    main()
