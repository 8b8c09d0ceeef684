"""What is explained: a model of a table's rows, what it reads and predicts, and where it looks ids up."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from perceiver_pytorch import _checks
from perceiver_pytorch.data import Batch, InputSpec, Sample, Target, collate
from perceiver_pytorch.data.calibration import Calibration
from perceiver_pytorch.data.errors import DataError

Change = Callable[[str, Tensor], Tensor]
"""From a modality's name and the vectors ``(batch, tokens, channels)`` of its ids to those that are read instead."""


@dataclass(frozen=True, eq=False)
class Lookup:
    """Where a modality's ids become vectors.

    Attributes:
        owner: a module that is called for this modality alone.
        table: the embedding that is called within.
    """

    owner: nn.Module
    table: nn.Module


@dataclass(frozen=True, eq=False)
class Subject:
    """A model whose answers are to be explained.

    Attributes:
        model: in evaluation mode.
        spec: what it reads and predicts.
        answer: from a batch to {target: ``(batch, size)``}.
        lookups: {modality of ids: where its ids are looked up}; maps by gradients leave out others that have ids.
        reader_names: {modality: its name in the model}, in the order of the contexts; empty where contexts are unknown.
        calibration: of its answers, as people are told them; maps are of the answers as the model gives them.
    """

    model: nn.Module
    spec: InputSpec
    answer: Callable[[Batch], dict[str, Tensor]]
    lookups: Mapping[str, Lookup] = field(default_factory=dict)
    reader_names: Mapping[str, str] = field(default_factory=dict)
    calibration: Calibration | None = None

    def target(self, name: str | None) -> Target:
        """The target of a name; the first one of None.

        Raises:
            ValueError: there is none.
        """
        if name is None:
            return self.spec.targets[0]
        names = tuple(target.name for target in self.spec.targets)
        return self.spec.targets[names.index(_checks.choice("target", name, names))]

    def batch(self, sample: Sample) -> Batch:
        """One row, on the model's device.

        Raises:
            DataError: it is too long for memory.
        """
        if long := sample.in_pieces:
            raise DataError(
                f"row {sample.row}, column {long[0]!r}: is read in pieces, and maps are drawn of rows in memory; "
                "a run with data.stream_seconds=null reads them whole"
            )
        return collate([sample], self.spec).to(self.device)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @contextmanager
    def looked_up(self, change: Change) -> Iterator[None]:
        """Within the block other vectors are read than the ids' own."""
        at: dict[str, Any] = {"name": None, "rows": 1}
        hooks = ExitStack()

        def enter(name: str) -> Any:
            def hook(module: nn.Module, arguments: Any) -> None:
                at.update(name=name, rows=len(arguments[0]))

            return hook

        def leave(module: nn.Module, arguments: Any, output: Tensor) -> Tensor | None:
            if at["name"] is None:
                return None
            name, at["name"] = at["name"], None
            found = change(name, output.reshape(at["rows"], -1, output.shape[-1]))
            return found.reshape(output.shape)

        for name, lookup in self.lookups.items():
            hooks.callback(lookup.owner.register_forward_pre_hook(enter(name)).remove)
        for table in {id(lookup.table): lookup.table for lookup in self.lookups.values()}.values():
            hooks.callback(table.register_forward_hook(leave).remove)
        with hooks:
            yield


@dataclass(frozen=True, eq=False)
class Question:
    """What of the answers is explained: how much speaks for what the model chose.

    Attributes:
        target: of the model.
        chosen: int64 ``(batch,)``: which of its outputs; of a batch that has the rows again and again, again and again.
    """

    target: Target
    chosen: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, subject: Subject, batch: Batch, target: str | None = None) -> "Question":
        """The one about what the model says of a batch."""
        found = subject.target(target)
        return cls(found, found.chosen(subject.answer(batch)[found.name]))

    def evidence(self, subject: Subject, batch: Batch) -> Tensor:
        """``(batch,)``, with gradients where the batch has any."""
        outputs = subject.answer(batch)[self.target.name]
        return self.target.evidence(outputs, self.chosen.repeat(len(outputs) // len(self.chosen)))


def with_inputs(batch: Batch, inputs: Mapping[str, Tensor]) -> Batch:
    """The batch with other values of some modalities."""
    return replace(batch, inputs={**batch.inputs, **inputs})


def repeated(batch: Batch, count: int) -> Batch:
    """The batch's rows one after another, so many times."""

    def again(tensor: Tensor) -> Tensor:
        return tensor.repeat(count, *[1] * (tensor.dim() - 1))

    return Batch(
        {name: again(tensor) for name, tensor in batch.inputs.items()},
        {name: again(tensor) for name, tensor in batch.masks.items()},
        {name: again(tensor) for name, tensor in batch.targets.items()},
        again(batch.rows),
        {
            name: tuple(axis if axis is None or axis.dim() == 1 else again(axis) for axis in axes)
            for name, axes in batch.coordinates.items()
        },
    )


def has_ids(batch: Batch, name: str) -> bool:
    """Whether a modality's values are ids."""
    return batch.inputs[name].dtype == torch.int64


def present(batch: Batch) -> Sequence[str]:
    """The modalities that some row of a batch has something of."""
    return [name for name in batch.inputs if name not in batch.masks or bool(batch.masks[name].any())]
