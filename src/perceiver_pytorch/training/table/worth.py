"""What modalities and columns are worth to a trained model: Shapley values, and permutation importance."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from perceiver_pytorch.data import Batch, BatchLoader, ModalitySpec, Predictions, TableDataset
from perceiver_pytorch.data.calibration import calibration_of
from perceiver_pytorch.data.choice import Choice
from perceiver_pytorch.data.errors import listed
from perceiver_pytorch.data.targets.scores import score, score_name, score_title
from perceiver_pytorch.explain.shapley import MOST_EXACT, Players, Worth, exact, sampled, subsets
from perceiver_pytorch.models.inputs import Tokens
from perceiver_pytorch.training.rows import by_rows
from perceiver_pytorch.training.run.durations import Deadline, now
from perceiver_pytorch.training.table import evaluation
from perceiver_pytorch.training.table.build import (
    by_target,
    gives_tokens,
    model_name,
    num_tokens,
    run_model,
    tokens_of,
)
from perceiver_pytorch.training.table.partial_inputs import Drawn

T = TypeVar("T")

REPEATS = 8
"""How often a column is permuted, each time on rows drawn anew."""
_STUDENT = 2.365  # 97.5 % of the t distribution with 7 degrees of freedom
MOST_ROWS, LEAST_ROWS, ANSWERS = 500, 64, 24_000
"""Rows that columns are permuted on, for so many answers in all."""
MOST_COLUMNS = 100
"""Columns that are permuted; a table of more is told of its first ones."""
_TOKENS = 120_000  # of all rows together: they are held at once
_ORDERS, _SAMPLED_ROWS = 16, 100  # random orders of many modalities, and the rows that they are measured on


MOST_LINES = 20
"""Columns that are named for people; the file of metrics has all."""


@torch.no_grad()
def measure_worth(
    model: nn.Module,
    dataset: TableDataset,
    predictions: Predictions,
    metrics: Mapping[str, Any],
    *,
    choice: Choice,
    deadline: Deadline | None = None,
) -> dict[str, Any]:
    """What modalities and columns are worth, as ``metrics.json`` has it.

    Args:
        model, dataset: what was measured, on which rows.
        predictions: with all modalities.
        metrics: of `evaluation.measure`.
        choice: of the score.
        deadline: what there is no time for is left out.

    Returns:
        ``score_name`` and ``score_title``; ``modalities``: `Worth.as_json` (None: no time for all combinations);
        ``columns``: per column ``drop``, by how much the score falls where its cells change rows, its 95 % interval
        ``low`` and ``high``; ``rows``, that columns were permuted on; ``left_out``: columns there was no time for, and
        those beyond `MOST_COLUMNS`.
    """
    names = [modality.name for modality in dataset.spec.modalities]
    nothing = _score_of_nothing(model, dataset, predictions, choice)
    if len(names) <= MOST_EXACT:
        known = {frozenset(entry["present"]): entry["score"] for entry in metrics["combinations"]}
        known[frozenset()] = nothing
        found = exact(names, known) if known.keys() == {*subsets(names)} else None
    else:
        found = _sampled(model, dataset, names, choice, deadline)
    title = score_title(dataset.spec.targets, score_name(dataset.spec.targets, choice))
    told = {"score_name": metrics["score_name"], "score_title": title, "modalities": found and found.as_json()}
    return told | column_importance(model, dataset, choice=choice, deadline=deadline)


def worth_lines(worth: Mapping[str, Any]) -> list[str]:
    """For people: what modalities and columns are worth, those of most worth first."""
    title, modalities, columns = worth["score_title"], worth["modalities"], worth["columns"]
    lines = []
    if modalities is not None:
        how = "exact" if modalities["exact"] else f"from {modalities['orders']} random orders"
        nothing = f"{modalities['nothing']:.4f} without any input"
        lines.append(f"what modalities are worth (Shapley values of {title}, {how}; {nothing}):")
        for name, each in sorted(modalities["values"].items(), key=lambda pair: -pair[1]["value"]):
            error = each["standard_error"]
            lines.append(f"  {name}: {each['value']:+.4f}{'' if error is None else f' ± {error:.4f}'}")
    if columns:
        where = f"{title} falls where its cells change rows, on {worth['rows']} rows; 95 % intervals"
        lines.append(f"what columns are worth (by how much {where}):")
        named = sorted(columns.items(), key=lambda pair: -pair[1]["drop"])
        lines += [f"  {name}: {x['drop']:+.4f} ({x['low']:+.4f} to {x['high']:+.4f})" for name, x in named[:MOST_LINES]]
        if len(named) > MOST_LINES:
            lines.append(f"  and {len(named) - MOST_LINES} more")
    if worth["left_out"]:
        lines.append(f"  not measured: {listed(worth['left_out'], 5)}")
    return lines


def _score_of_nothing(model: nn.Module, dataset: TableDataset, predictions: Predictions, choice: Choice) -> float:
    """The score of the answer without any input, which is the same for all rows."""
    names = [modality.name for modality in dataset.spec.modalities]
    (one,) = evaluation.predict_without(model, dataset, [names], rows=1)
    count = len(predictions.rows)
    same = {name: values[:1].expand(count, -1) for name, values in one.outputs.items()}
    constant = dataclasses.replace(predictions, outputs=same)
    return score(constant.targets, constant.metrics(), choice)


def _sampled(
    model: nn.Module, dataset: TableDataset, names: Sequence[str], choice: Choice, deadline: Deadline | None
) -> Worth | None:
    """Of many modalities, from random orders; None where there is no time."""

    def value(sets: Sequence[Players]) -> list[float]:
        without = [[name for name in names if name not in each] for each in sets]
        answers = evaluation.predict_without(model, dataset, without, rows=_SAMPLED_ROWS, deadline=deadline)
        if len(answers) < len(sets):
            raise _NoTimeError
        return [score(each.targets, each.metrics(), choice) for each in answers]

    try:
        return None if deadline is not None and deadline.left() <= 0 else sampled(names, value, orders=_ORDERS)
    except _NoTimeError:
        return None


class _NoTimeError(Exception):
    pass


def permuted_rows(num_columns: int, dataset: TableDataset) -> int:
    """Rows that columns are permuted on."""
    tokens = sum(modality.num_tokens for modality in dataset.spec.modalities)
    wanted = min(MOST_ROWS, max(LEAST_ROWS, ANSWERS // (REPEATS * max(1, num_columns))), max(8, 4 * _TOKENS // tokens))
    return min(len(dataset), wanted)


def answers_of_worth(dataset: TableDataset) -> int:
    """Rows that are answered for `measure_worth`, each as often as it is."""
    columns, modalities = min(len(columns_of(dataset)), MOST_COLUMNS), len(dataset.spec.modalities)
    orders = _ORDERS * modalities * min(_SAMPLED_ROWS, len(dataset)) if modalities > MOST_EXACT else 0
    return orders + REPEATS * columns * permuted_rows(columns, dataset)


def columns_of(dataset: TableDataset) -> list[tuple[str, ModalitySpec, int | None]]:
    """Each column, its modality, and its place where the modality has a token per column."""
    found: list[tuple[str, ModalitySpec, int | None]] = []
    for modality in dataset.spec.modalities:
        together = len(modality.columns) > 1 and modality.axes == (len(modality.columns),)
        if together or (len(modality.columns) == 1 and modality.name != modality.columns[0]):
            found += [(column, modality, i if together else None) for i, column in enumerate(modality.columns)]
        else:
            found.append((modality.name, modality, None))
    return found


@torch.no_grad()
def column_importance(
    model: nn.Module, dataset: TableDataset, *, choice: Choice, deadline: Deadline | None = None, seed: int = 0
) -> dict[str, Any]:
    """By how much the score falls where a column's cells change rows (Breiman 2001, doi:10.1023/A:1010933404324).

    Each repeat draws rows anew and permutes the column among them, so that the interval has both chances in it.
    """
    every = columns_of(dataset)
    columns = every[:MOST_COLUMNS]
    rows = permuted_rows(len(columns), dataset)
    if deadline is not None and deadline.left() <= 0:
        return {"columns": {}, "rows": 0, "repeats": REPEATS, "left_out": [column for column, _, _ in every]}
    loader = BatchLoader(dataset, Drawn(len(dataset), rows, rows))
    batch = next(iter(loader)).to(next(model.parameters()).device)
    permuting = _Permuting(model, batch, dataset, choice)
    rng, found, left_out = np.random.default_rng(seed), {}, [column for column, _, _ in every[MOST_COLUMNS:]]
    longest = REPEATS * permuting.seconds
    for column, modality, place in columns:
        if deadline is not None and deadline.left() < 1.5 * longest:
            left_out.append(column)
            continue
        began = now()
        drops = np.array([permuting.drop(modality.name, place, rng) for _ in range(REPEATS)])
        half = _STUDENT * float(drops.std(ddof=1))
        mean = float(drops.mean())
        found[column] = {"drop": mean, "low": mean - half, "high": mean + half}
        longest = max(longest, now() - began)
    return {"columns": found, "rows": len(batch.rows), "repeats": REPEATS, "left_out": left_out}


class _Permuting:
    """Answers of rows of which one column is permuted; what does not depend on it is computed once."""

    def __init__(self, model: nn.Module, batch: Batch, dataset: TableDataset, choice: Choice) -> None:
        self.model, self.batch, self.targets, self.choice = model, batch, dataset.spec.targets, choice
        self.tokens = tokens_of(model, batch) if gives_tokens(model) else None
        self.calibration = calibration_of(model, self.targets)
        self.present = {name: batch.there(name).cpu() for name in batch.inputs}
        began = now()
        self.whole = self._predictions(None, None, None)
        self.seconds = now() - began

    def drop(self, modality: str, place: int | None, rng: np.random.Generator) -> float:
        """By how much the score of rows drawn anew falls."""
        count = len(self.batch.rows)
        order = torch.from_numpy(rng.permutation(count))
        drawn = torch.from_numpy(rng.integers(count, size=count))
        return self._score(self.whole, drawn) - self._score(self._predictions(modality, place, order), drawn)

    def _score(self, predictions: Predictions, rows: Tensor) -> float:
        outputs = {name: values[rows] for name, values in predictions.outputs.items()}
        encoded = {name: values[rows] for name, values in predictions.encoded.items()}
        drawn = Predictions(predictions.rows[rows], self.targets, outputs, encoded, {})
        return score(self.targets, drawn.metrics(), self.choice)

    def _predictions(self, modality: str | None, place: int | None, order: Tensor | None) -> Predictions:
        """Calibrated answers, with a modality's rows, or those of its column at a place, in another order."""
        outputs = self._answers(modality, place, order)
        present = dict(self.present)
        if modality is not None and place is None:
            present[modality] = present[modality][order]
        encoded = {name: values.cpu() for name, values in self.batch.targets.items()}
        return Predictions(self.batch.rows, self.targets, outputs, encoded, present).calibrated(self.calibration)

    def _answers(self, modality: str | None, place: int | None, order: Tensor | None) -> dict[str, Tensor]:
        names = [target.name for target in self.targets]
        outputs = self._outputs(modality, place, order)

        def answer(rows: slice) -> tuple[Tensor, ...]:
            found = outputs(rows)
            return tuple(found[name] for name in names)

        found = by_rows(answer, len(self.batch.rows), num_tokens(self.batch), self.model)
        return {name: values.float().cpu() for name, values in zip(names, found, strict=True)}

    def _outputs(
        self, modality: str | None, place: int | None, order: Tensor | None
    ) -> Callable[[slice], dict[str, Tensor]]:
        """What gives the model's outputs for some of the rows."""
        if self.tokens is None:
            batch = self.batch if modality is None else self._permuted_batch(modality, place, order)
            return lambda rows: run_model(self.model, batch.of_rows(rows), self.targets)
        tokens = dict(self.tokens)
        if modality is not None:
            name = model_name(modality)
            tokens[name] = _permuted_tokens(tokens[name], place, order)
        answers_of: Any = self.model.answers_of
        return lambda rows: by_target(
            answers_of({name: _some_tokens(each, rows) for name, each in tokens.items()}), self.targets
        )

    def _permuted_batch(self, name: str, place: int | None, order: Tensor | None) -> Batch:
        inputs, masks, coordinates = dict(self.batch.inputs), dict(self.batch.masks), dict(self.batch.coordinates)
        inputs[name] = _permuted(inputs[name], place, order)
        if name in masks:
            masks[name] = _permuted(masks[name], place, order)
        if name in coordinates:
            coordinates[name] = tuple(_own(axis, order) for axis in coordinates[name])
        pieces = {**self.batch.pieces, name: _permuted_pieces(self.batch.pieces.get(name, {}), order)}
        return dataclasses.replace(self.batch, inputs=inputs, masks=masks, coordinates=coordinates, pieces=pieces)


def _permuted_tokens(tokens: Tokens, place: int | None, order: Tensor | None) -> Tokens:
    assert isinstance(tokens.data, Tensor)
    mask = None if tokens.mask is None else _permuted(tokens.mask, place, order)
    places = tokens.coordinates and tuple(_own(axis, order) for axis in tokens.coordinates)
    return Tokens(_permuted(tokens.data, place, order), mask, places, rows=_permuted_pieces(tokens.rows, order))


def _some_tokens(tokens: Tokens, rows: slice) -> Tokens:
    assert isinstance(tokens.data, Tensor)
    mask = None if tokens.mask is None else tokens.mask[rows]
    places = tokens.coordinates and tuple(_own(axis, rows) for axis in tokens.coordinates)
    pieces = {row - rows.start: tokens.rows[row] for row in range(rows.start, rows.stop) if row in tokens.rows}
    return Tokens(tokens.data[rows], mask, places, rows=pieces)


def _permuted_pieces(rows: Mapping[int, T], order: Tensor | None) -> dict[int, T]:
    """What rows have in pieces, which only columns with a modality of their own have."""
    return {} if order is None else {row: rows[old] for row, old in enumerate(order.tolist()) if old in rows}


def _permuted(values: Tensor, place: int | None, order: Tensor | None) -> Tensor:
    """Rows in another order: all of their values, or those of a column."""
    if place is None:
        return values[order]
    changed = values.clone()
    changed[:, place] = values[order, place]
    return changed


def _own(axis: Tensor | None, order: Tensor | slice | None) -> Tensor | None:
    """Coordinates that rows bring themselves go with them."""
    return axis if axis is None or axis.dim() == 1 else axis[order]
