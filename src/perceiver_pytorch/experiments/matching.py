"""Sizes that are chosen so that one model has as many parameters, or operations, as another."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from perceiver_pytorch._settings import overlaid
from perceiver_pytorch.data import InputSpec, ModalitySpec
from perceiver_pytorch.experiments.cells import Cell, Reference
from perceiver_pytorch.experiments.references import imported
from perceiver_pytorch.experiments.spec import PARAMETERS
from perceiver_pytorch.training.table.build import build_model, model_name
from perceiver_pytorch.training.table.settings import FitConfig, ModelConfig
from perceiver_pytorch.training.table.sizes import chosen_sizes

Build = Callable[[InputSpec, ModelConfig], Any]
_LARGEST = 1 << 14


class Builder:
    """Makes the model of a cell.

    Args:
        cell: of an experiment.

    Attributes:
        chosen: the size that was chosen to equal another level, by setting.
    """

    def __init__(self, cell: Cell) -> None:
        self.build: Build = build_model if cell.model is None else imported(cell.model)
        self.reference = cell.reference
        self.chosen: dict[str, int] = {}

    def __call__(self, spec: InputSpec, config: ModelConfig) -> Any:
        """A model with fresh weights."""
        config, _ = chosen_sizes(config, spec)
        if self.reference is not None:
            config = self._matched(spec, config, self.reference)
        return self.build(spec, config)

    def _matched(self, spec: InputSpec, config: ModelConfig, reference: Reference) -> ModelConfig:
        match = reference.match
        other: Build = build_model if reference.model is None else imported(reference.model)
        measure = num_parameters if match.measure == PARAMETERS else lambda model: num_operations(model, spec)

        def sized(size: int) -> ModelConfig:
            return overlaid(FitConfig(model=config), dict.fromkeys(match.by, size)).model

        wanted = measure(on_meta(lambda: other(spec, chosen_sizes(reference.config.model, spec)[0])))
        size = closest_size(lambda size: measure(on_meta(lambda: self.build(spec, sized(size)))), wanted)
        self.chosen = {".".join(path): size for path in match.by}
        return sized(size)


def closest_size(measured: Callable[[int], float], wanted: float) -> int:
    """The whole number of at least 1 whose measure, which rises with it, is closest to ``wanted``.

    Raises:
        ValueError: if none up to 16,384 is large enough.
    """
    low, high = 0, 1
    while measured(high) < wanted:
        low, high = high, 2 * high
        if high > _LARGEST:
            raise ValueError(f"no size up to {_LARGEST:,} makes the model as large as the one that it is matched with")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if measured(middle) < wanted else (low, middle)
    return low if low and wanted - measured(low) <= measured(high) - wanted else high


def num_parameters(model: nn.Module) -> int:
    """Weights of a model."""
    return sum(parameter.numel() for parameter in model.parameters())


def num_operations(model: nn.Module, spec: InputSpec) -> int:
    """Multiplications and additions of the matrix products of a forward pass of one row that is as long as rows get.

    Cross-attends are counted by keys and values, whatever way computes them: what the model asks for, not what the
    backend saves.

    Args:
        model: on the meta device.
        spec: what it reads.
    """
    from torch.utils.flop_counter import FlopCounterMode

    inputs = {model_name(modality.name): _input(modality) for modality in spec.modalities}
    places = {model_name(modality.name): _coordinates(modality) for modality in spec.modalities}
    places = {name: each for name, each in places.items() if any(axis is not None for axis in each)}
    with FlopCounterMode(display=False) as counter:
        model.eval()(inputs, coordinates=places or None)
    return counter.get_total_flops()


def on_meta(build: Callable[[], Any]) -> Any:
    """A model without numbers."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return build()


def _input(modality: ModalitySpec) -> torch.Tensor:
    dtype = torch.int64 if modality.dtype == "int64" else torch.float32
    return torch.zeros(1, *modality.shape, dtype=dtype, device="meta")


def _coordinates(modality: ModalitySpec) -> tuple[torch.Tensor | None, ...]:
    """Somewhere, for axes whose tokens have no places of their own."""
    counts = modality.model_input().coordinates_per_axis
    lengths = modality.shape[: len(counts)]
    return tuple(
        torch.zeros(1, length, count, device="meta") if count > 1 else None
        for length, count in zip(lengths, counts, strict=True)
    )
