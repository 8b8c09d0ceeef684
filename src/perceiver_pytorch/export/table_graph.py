"""A run's model as a graph takes it: plain tensors by name in, what targets mean out."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from perceiver_pytorch.data import Batch, InputSpec, ModalitySpec
from perceiver_pytorch.data.calibration import Calibration, PatternCalibration
from perceiver_pytorch.runtime.bundle import RAW, VALUES
from perceiver_pytorch.runtime.signature import DATA, MASK, MOST_ROWS, PLACE, GraphInput, varies
from perceiver_pytorch.training.table.build import model_name, run_model
from perceiver_pytorch.training.table.pooled import pooled

EXAMPLE_BATCH = 3
LATENTS = "latents"
"""The graph's name of the pooled latents; those of others begin with ``out_`` and ``raw_``."""
_LONG = 512  # of an axis of the tensors to trace with


class TableGraph(nn.Module):
    """A run's model and its targets.

    Args:
        model: of `Run.model`, in evaluation mode, on the CPU.
        spec: what it reads and predicts.
        inputs: the tensors that `forward` takes, by name.
        calibration: of the model's outputs, if anything is known of it.
        latents: give the pooled latents, too, as `LATENTS`.
    """

    def __init__(
        self,
        model: nn.Module,
        spec: InputSpec,
        inputs: Sequence[GraphInput],
        calibration: Calibration | None = None,
        *,
        latents: bool = False,
    ) -> None:
        super().__init__()
        self.latents = latents
        names = [modality.name for modality in spec.modalities]
        entries = {} if calibration is None else calibration.targets
        found = [calibrating(entries.get(target.name, ()), names, target.size) for target in spec.targets]
        self.calibrated = nn.ModuleList(found)
        self.model = model
        self.spec = spec
        self.inputs = tuple(inputs)

    def forward(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The outputs by `output_names`; all modalities are given, absent ones masked."""
        data, masks = {}, {}
        places: dict[str, list[Tensor | None]] = {m.name: [None] * len(m.axes) for m in self.spec.modalities}
        for entry in self.inputs:
            tensor = tensors[entry.name]
            if entry.part == DATA:
                data[entry.modality] = tensor
            elif entry.part == MASK:
                masks[entry.modality] = tensor
            else:
                places[entry.modality][entry.axis] = tensor
        coordinates = {name: tuple(axes) for name, axes in places.items() if any(axis is not None for axis in axes)}
        rows = torch.zeros(0, dtype=torch.int64)
        with pooled(self.model) as seen:
            outputs = run_model(self.model, Batch(data, masks, {}, rows, coordinates), self.spec.targets)
        there = torch.stack([masks[modality.name].flatten(1).any(1) for modality in self.spec.modalities], dim=1)
        found: dict[str, Tensor] = {}
        for target, calibrated in zip(self.spec.targets, self.calibrated, strict=True):
            names, raw = output_names(target.name), outputs[target.name].float()
            values = raw if isinstance(calibrated, nn.Identity) else calibrated(raw, there)
            found |= {names[VALUES]: target.values(values), names[RAW]: raw}
        if self.latents and seen is not None:
            found[LATENTS] = seen.taken()
        return found


class Scaling(nn.Module):
    """`Calibration.calibrated` of one target, as part of a graph.

    Args:
        entries: of the target's calibration.
        names: of the modalities.
        size: of the target's outputs.
    """

    patterns: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, entries: Sequence[PatternCalibration], names: Sequence[str], size: int) -> None:
        super().__init__()
        kept = [entry for entry in entries if entry.present] or list(entries[:1])
        patterns = [[name in entry.present for name in names] for entry in kept]
        self.register_buffer("patterns", torch.tensor(patterns))
        self.register_buffer("scale", torch.tensor([entry.fitted.scale or (1.0,) * size for entry in kept]))
        self.register_buffer("bias", torch.tensor([entry.fitted.bias or (0.0,) * size for entry in kept]))

    def forward(self, outputs: Tensor, there: Tensor) -> Tensor:
        """Calibrated outputs.

        Args:
            outputs: ``(rows, size)``, of the model.
            there: bool ``(rows, modalities)``, which of them a row has.
        """
        differ = (there.unsqueeze(1) != self.patterns).sum(-1)
        # The first of those that differ in the fewest modalities.
        order = torch.arange(self.patterns.shape[0], device=outputs.device)
        entry = (differ * self.patterns.shape[0] + order).argmin(1)
        return outputs * self.scale[entry] + self.bias[entry]


def calibrating(entries: Sequence[PatternCalibration], names: Sequence[str], size: int) -> nn.Module:
    """What makes calibrated outputs; `nn.Identity` where they stay as they are."""
    return Scaling(entries, names, size) if any(entry.fitted.scale for entry in entries) else nn.Identity()


def output_names(target: str) -> dict[str, str]:
    """The names in the graph of a target's outputs: `Target.values` of the rows, and what they are made of."""
    name = model_name(target).removeprefix("in_")
    return {VALUES: f"out_{name}", RAW: f"raw_{name}"}


def table_inputs(spec: InputSpec) -> tuple[GraphInput, ...]:
    """What the graph of a table's model takes: data, masks, and the places of axes whose rows differ in length."""
    return tuple(entry for modality in spec.modalities for entry in _inputs(modality))


def _inputs(modality: ModalitySpec) -> list[GraphInput]:
    name, axes = model_name(modality.name), modality.held_axes
    most = (MOST_ROWS, *axes)
    least = (
        1,
        *(1 if varies(modality) and length > 2 else length for length in axes),
    )  # PyTorch bounds none by 1 and 2
    channels = modality.shape[len(axes) :]
    found = [
        GraphInput(name, modality.name, DATA, modality.dtype, (*least, *channels), (*most, *channels)),
        GraphInput(f"{name}.mask", modality.name, MASK, "bool", least, most),
    ]
    for axis, count in enumerate(modality.own_coordinates):
        if not (count or varies(modality) or modality.grid(axis) is not None):
            continue
        low, high = (least[1 + axis],), (most[1 + axis],)
        if count:
            extra = (count,) if count > 1 else ()
            low, high = (1, *low, *extra), (MOST_ROWS, *high, *extra)
        found.append(GraphInput(f"{name}.place.{axis}", modality.name, PLACE, "float32", low, high, axis))
    return found


def example(inputs: Sequence[GraphInput]) -> dict[str, Tensor]:
    """Tensors to trace with, as long as inputs may be: what is shortened on the way then keeps its axes."""
    return {entry.name: _example(entry) for entry in inputs}


def _example(entry: GraphInput) -> Tensor:
    varying = [low != high for low, high in zip(entry.least, entry.most, strict=True)]
    shape = [min(most, _LONG) if varies else most for most, varies in zip(entry.most, varying, strict=True)]
    if entry.has_batch:
        shape[0] = EXAMPLE_BATCH
    if entry.part == MASK:
        return torch.ones(*shape, dtype=torch.bool)
    if entry.part == PLACE:
        return torch.linspace(-1, 1, math.prod(shape)).view(shape)
    return torch.zeros(*shape, dtype=getattr(torch, entry.dtype))
