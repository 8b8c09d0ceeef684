"""What a run will cost, found out before it: by its own plan, and by a few of its steps."""

import dataclasses
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from perceiver_pytorch._memory import free_memory
from perceiver_pytorch.data import Batch, ModalitySpec, Table, TableDataset, TableLike
from perceiver_pytorch.data.batch import collate
from perceiver_pytorch.data.workers import usual_workers
from perceiver_pytorch.models.blended import BlendedPerceiver
from perceiver_pytorch.models.modalities import InputModality
from perceiver_pytorch.ops.operations import count_operations
from perceiver_pytorch.training.gathering import Rows
from perceiver_pytorch.training.run.accelerator import on_own_cores
from perceiver_pytorch.training.run.durations import generous, now, written
from perceiver_pytorch.training.run.peak_memory import PeakMemory
from perceiver_pytorch.training.run.planning import Costs, closing_seconds
from perceiver_pytorch.training.run.precision import precision_of
from perceiver_pytorch.training.run.rehearsal import MOST, Measured, rehearse, saved_bytes
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table.advice import Advice
from perceiver_pytorch.training.table.build import model_name
from perceiver_pytorch.training.table.datasets import DECODING, make_dataset
from perceiver_pytorch.training.table.module import TableModule
from perceiver_pytorch.training.table.rounds import Rounds, plan_rounds
from perceiver_pytorch.training.table.run import TableRun
from perceiver_pytorch.training.table.settings import FitConfig
from perceiver_pytorch.training.table.sizes import num_tokens
from perceiver_pytorch.training.table.task import EVALUATION_BATCH, TableTask
from perceiver_pytorch.training.table.unwise import (
    Unwise,
    unwise_classes,
    unwise_columns,
    unwise_frequencies,
    unwise_tokens,
)

SOME_ROWS = 64
"""Rows that are decoded to know how large a row is."""
BATCHES = 8
"""Batches of rows that measured steps read over and over."""
MANY_CELLS = 2_000
"""Cells looked at to know how many are different."""
FEW, MORE = 3, 6
"""Rows of two small steps, by which memory and operations grow; so few are computed in one thread."""
OF_STATE = 4
"""Times the trained weights that training holds: weights, gradients, and two means of AdamW or LAMB."""
BACKWARD = 1.4
"""Times what autograd keeps of a step that the step needs at its peak; measured, see docs/training.md."""
ROOM = 0.9
"""Share of the free memory that a step may take."""


class _Rehearsed(TableTask):
    """A task of which nothing but some steps is made."""

    compares_rows: ClassVar[bool] = False
    decodes: ClassVar[bool] = False


@dataclass
class _Looked:
    """What was found out by small steps, before the first one."""

    few: int = 0
    more: int = 0
    operations: int = 0

    def bytes_of(self, rows: int) -> int:
        """What autograd keeps of a step of so many rows."""
        slope = max(0, self.more - self.few) / (MORE - FEW)
        return int(max(0.0, self.few + slope * (rows - FEW)))


@dataclass(frozen=True)
class Memory:
    """Bytes that training will take.

    Attributes:
        program: what is in use before, the libraries and the table.
        state: weights, gradients, optimiser, average.
        step: of a step of the whole batch, as predicted from two small ones.
        rows: of decoded rows that are kept.
        grown: what a few steps left in use, besides the state: libraries and compiled loops.
        free: what may be used besides what is in use.
    """

    program: int
    state: int
    step: int
    rows: int
    grown: int
    free: int

    @property
    def whole(self) -> int:
        """Of the process, at its peak."""
        return self.program + self.state + self.step + self.rows + self.grown

    @property
    def fits(self) -> bool:
        """Whether there is room for it."""
        return self.whole - self.program <= ROOM * self.free


def forecast(
    config: FitConfig, *, limit: float | None = None, table: TableLike | None = None, reporter: Reporter | None = None
) -> dict[str, Any]:
    """What `fit` would cost with a configuration, and what is unwise about it; JSON values.

    Args:
        config: what would be asked for.
        limit: seconds of its time limit, if there would be one.
        table: the table, where it is in memory.
        reporter: how to tell progress and warnings of reading.

    Raises:
        DataError, ValueError: as `fit` would.
    """
    reporter = reporter or Reporter(lambda text: None, lambda text: None)
    began = now()
    advice = Advice(config, table is not None, limit)
    with tempfile.TemporaryDirectory() as folder, on_own_cores():
        run = TableRun.create(Path(folder) / "run")
        task = _Rehearsed(config, table)
        quiet = Reporter(lambda text: None, lambda text: None, reporter.progress, reporter.bar)
        task.prepare(run, resume=False, reporter=quiet)
        reading = now() - began
        return _Forecast(task, advice, run, reading, reporter).facts()


class _Forecast:
    """Gathers what is known of a task whose data are prepared."""

    def __init__(self, task: TableTask, advice: Advice, run: TableRun, reading: float, reporter: Reporter) -> None:
        self.task, self.advice, self.run, self.reporter = task, advice, run, reporter
        self.reading = reading
        self.data = task.data
        self.datasets = task.data.datasets
        self.train: TableDataset = self.datasets["train"]
        self.rounds: Rounds = plan_rounds(task.data.config.training, len(self.train), len(self.datasets["val"]))
        self.program = PeakMemory().used() or 0
        self.loaders = task.loaders()
        self.row_bytes, self.batch = self._some_rows()
        self.decoding = 0.0
        self.looked = _Looked()

    def facts(self) -> dict[str, Any]:
        """All of it."""
        module = self._module()
        weights = sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())
        first = self._memory(weights, self._looked_at(module), None)
        rows = self.rounds.batch_size if first.fits else self._fitting(first)
        measured = self._rehearsed(rows)
        memory = self._memory(weights, self.looked, measured)
        step = measured.step_seconds * self.rounds.batch_size / rows
        costs = Costs(step, measured.batch_seconds * len(self.loaders.val), 0.0)
        closing = closing_seconds(self.loaders.closing, self.loaders.measured, measured.batch_seconds)
        costs = replace(costs, closing=closing)
        return {
            "what": "plan of perceiver fit",
            "command": self.advice.fit(),
            "rows": {name: len(each) for name, each in self.datasets.items()},
            "inputs": [self._input(modality) for modality in self.data.spec.modalities],
            "tokens_a_row": sum(map(num_tokens, self.data.spec.modalities)),
            "model": self._model(module, weights),
            "operations": self._operations(),
            "memory": self._memory_facts(memory, measured, rows),
            "time": self._time(costs, measured, rows),
            **self._limited(costs),
            "unwise": [dataclasses.asdict(each) for each in self._unwise(module, memory, costs)],
            "doubts": self._doubts(),
        }

    def _module(self) -> TableModule:
        torch.manual_seed(self.task.training.seed)
        return self.task.module(Reporter(lambda text: None, lambda text: None))

    def _some_rows(self) -> tuple[float, Batch]:
        """Bytes of a decoded row, and a few decoded rows."""
        places = np.linspace(0, len(self.train) - 1, min(SOME_ROWS, len(self.train))).astype(np.int64).tolist()
        samples = [self.train[place] for place in places]
        each = sum(encoded.nbytes for sample in samples for encoded in sample.inputs.values() if encoded is not None)
        return each / len(samples), collate(samples, self.data.spec)

    def _looked_at(self, module: TableModule) -> _Looked:
        """What small steps keep and compute, without a trainer."""
        known = {p.untyped_storage().data_ptr() for p in [*module.parameters(), *module.buffers()]}
        module.train()

        def step(rows: int) -> torch.Tensor:
            part = self.batch.of_rows(slice(0, min(rows, len(self.batch.rows))))
            answers = module._answers(part, Rows([len(part.rows)]))
            loss, heads = module._losses(answers, [(1.0, part.targets)])
            return loss + heads

        self.looked.few = saved_bytes(lambda: step(FEW), known)
        self.looked.more = saved_bytes(lambda: step(MORE), known)
        self.looked.operations = count_operations(lambda: step(FEW).backward()) // FEW
        module.zero_grad()
        return self.looked

    def _rehearsed(self, rows: int) -> Measured:
        """A few steps of so many rows, on some of the train rows."""
        many = 2 * MOST
        training = replace(
            self.data.config.training, batch_size=rows, steps=many, epochs=None, validate_every=many, num_workers=0
        )
        config = replace(self.data.config, training=training)
        val = self._some(self.datasets["val"], EVALUATION_BATCH)
        datasets = {"val": val, "train": self._some(self.train, BATCHES * rows)}
        task = _Rehearsed(config, self.task.table)
        task.data = replace(self.data, config=config, datasets=datasets)
        with self.reporter.step("measuring some steps"):
            return rehearse(self._module(), task.loaders(), self.run, training)

    def _some(self, dataset: TableDataset, most: int) -> TableDataset:
        """Some rows of a data set, decoded if all of them would be; takes down how long a row takes, with as many
        processes as `fit` has."""
        places = np.linspace(0, len(dataset) - 1, min(most, len(dataset))).astype(np.int64)
        some = make_dataset(dataset.table, dataset.rows[places], dataset.spec, self.data.config.data, workers=0)
        began = now()
        if dataset.fits():
            some.prepare(None)
            workers = self.task.training.num_workers
            processes = usual_workers() if workers is None else max(1, workers)
            self.decoding = (now() - began) / len(places) / processes
        return some

    def _memory(self, weights: int, looked: _Looked, measured: Measured | None) -> Memory:
        state = (OF_STATE + bool(self.task.training.average)) * weights
        step = int(BACKWARD * looked.bytes_of(self.rounds.batch_size))
        kept = sum(int(self.row_bytes * len(each)) for each in self.datasets.values() if each.fits())
        grown = max(0, (measured.grown_bytes or 0) - state) if measured is not None else 0
        return Memory(self.program, state, step, kept, grown, free_memory())

    def _fitting(self, memory: Memory) -> int:
        """The largest power of 2 of rows whose step fits into memory."""
        room = ROOM * memory.free - memory.state - memory.rows
        rows = self.rounds.batch_size
        while rows > 1 and BACKWARD * self.looked.bytes_of(rows) > room:
            rows = 1 << (rows - 1).bit_length() - 1
        return rows

    def _input(self, modality: ModalitySpec) -> dict[str, Any]:
        there = self.batch.masks.get(modality.name)
        values = self.batch.inputs[modality.name]
        seen = float(there.flatten(1).sum(1).float().mean()) if there is not None else float(modality.num_tokens)
        return {
            "modality": modality.name,
            "kind": modality.kind,
            "values_a_cell": seen * (1 if modality.vocab_size else values.shape[-1]),
            "tokens_at_most": num_tokens(modality),
        }

    def _model(self, module: TableModule, weights: int) -> dict[str, Any]:
        sizes = self.data.config.model
        return {
            "parameters": sum(parameter.numel() for parameter in module.model.parameters()),
            "bytes": weights,
            "depth": sizes.depth,
            "num_latents": sizes.num_latents,
            "latent_dim": sizes.latent_dim,
            "precision": precision_of(self.task.training, gains=module.gains_by_bfloat16),
        }

    def _operations(self) -> dict[str, Any]:
        row = self.looked.operations
        return {"a_row": row, "a_step": row * self.rounds.batch_size, "an_epoch": row * len(self.train)}

    def _memory_facts(self, memory: Memory, measured: Measured, rows: int) -> dict[str, Any]:
        facts = {f"{field.name}_bytes": getattr(memory, field.name) for field in dataclasses.fields(memory)}
        facts |= {"in_all_bytes": memory.whole, "fits": memory.fits}
        predicted = int(BACKWARD * self.looked.bytes_of(rows))
        return {**facts, "measured_step": {"rows": rows, "bytes": measured.step_bytes, "predicted_bytes": predicted}}

    def _time(self, costs: Costs, measured: Measured, rows: int) -> dict[str, Any]:
        per_round = self.rounds.length or max(1, round(self.rounds.pass_steps))
        decoded = self._decoded()
        training = costs.seconds(self.rounds.steps, per_round) - costs.closing
        return {
            "reading_seconds": self.reading,
            "decoding_seconds": decoded * self.decoding,
            "step_seconds": costs.step,
            "measured_steps": measured.steps,
            "measured_rows_a_step": rows,
            "batch_size": self.rounds.batch_size,
            "epoch_seconds": self.rounds.pass_steps * costs.step,
            "steps": self.rounds.steps,
            "epochs": self.rounds.steps / self.rounds.pass_steps,
            "validation_seconds": costs.validation,
            "training_seconds": training,
            "result_seconds": costs.closing,
            "in_all_seconds": self.reading + decoded * self.decoding + training + costs.closing,
        }

    def _decoded(self) -> float:
        """Rows that are decoded beforehand; equal cells are decoded once, so rows of such cells count less."""
        rows = sum(len(each) for each in self.datasets.values() if each.fits())
        table, numbers = self.train.table, self.train.rows
        if not isinstance(table, Table) or not rows:
            return rows
        some = numbers[np.linspace(0, len(numbers) - 1, min(MANY_CELLS, len(numbers))).astype(np.int64)]
        files = [each.columns[0] for each in self.data.spec.modalities if each.shared and each.file_columns]
        return rows * max((share_of_different(table.take(name, some), rows) for name in files), default=1.0)

    def _limited(self, costs: Costs) -> dict[str, Any]:
        """What a time limit leaves time for."""
        limit = self.advice.limit
        if limit is None:
            return {}
        time = self._time(costs, Measured(0, 0.0, 0.0, None, None), 0)
        left = limit - time["reading_seconds"]
        left -= min(time["decoding_seconds"], DECODING * left)
        least = closing_seconds(
            self.loaders.closing, self.loaders.measured, costs.validation / max(1, len(self.loaders.val)), left
        )
        per_round = self.rounds.length or max(1, round(self.rounds.pass_steps))
        plan = replace(costs, closing=least).planned(
            left, limit=limit, whole=self.rounds.steps, most=self.rounds.most_steps, steps_per_round=per_round
        )
        return {"time_limit": {"seconds": limit, "steps": plan.steps, "of": plan.whole, "says": str(plan)}}

    def _unwise(self, module: TableModule, memory: Memory, costs: Costs) -> list[Unwise]:
        found = [
            *unwise_columns(self.data.suspects, self.advice),
            *unwise_classes(self.data.spec.targets, self.advice),
            *unwise_tokens(self.data.spec.modalities, self.advice),
            *unwise_frequencies(self.data.spec.modalities, _read(module.model, self.data.spec.modalities), self.advice),
        ]
        if not memory.fits:
            rows = self._fitting(memory)
            says = (
                f"a step of {self.rounds.batch_size:,} rows does not fit into memory: training would take about "
                f"{memory.whole / 1e9:.1f} GB, {(memory.program + memory.free) / 1e9:.1f} GB may be used"
            )
            found.append(Unwise(says, self.advice.fit({("training", "batch_size"): rows})))
        limited = self._limited(costs).get("time_limit")
        if limited and limited["steps"] < limited["of"]:
            whole = generous(self._time(costs, Measured(0, 0.0, 0.0, None, None), 0)["in_all_seconds"] * 1.1)
            says = f"a time limit of {written(limited['seconds'])} leaves time for {limited['steps']:,} of "
            found.append(Unwise(f"{says}{limited['of']:,} steps", self.advice.fit(limit=whole)))
        return found

    def _doubts(self) -> list[str]:
        """What `fit` would warn of, besides what is unwise."""
        told = [each.says for each in self.data.suspects]
        return [text for text in self.data.warnings if not any(text.startswith(says) for says in told)]


def share_of_different(cells: Sequence[Any], rows: int) -> float:
    """How many of so many rows have a cell that no row before has, as a share, by some of the rows: drawn from ``d``
    different cells, ``n`` cells have about ``d (1 - exp(-n / d))``."""
    seen, drawn = len({*map(repr, cells)}), len(cells)
    low, high = float(max(1, seen)), 1e12
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if -middle * np.expm1(-drawn / middle) < seen - 0.5 else (low, middle)
    return min(1.0, float(-low * np.expm1(-rows / low)) / max(1, rows))


def _read(model: Any, modalities: Sequence[ModalitySpec]) -> dict[str, InputModality]:
    """{modality: what the model has for it}, of those that it reads by positions."""
    trunk = model.trunk if isinstance(model, BlendedPerceiver) else model
    declared = getattr(trunk, "modalities", None) or getattr(getattr(trunk, "encoder", None), "modalities", {})
    return {each.name: declared[model_name(each.name)] for each in modalities if model_name(each.name) in declared}
