"""Models of release 1.4.0 that ours are compared with: how to build one from either library, and what to run it on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from release import our_names, release_names, running_release

AXES = {"image": (6, 5), "audio": (23,), "video": (3, 4, 2), "text": (11,)}
BATCH = 2


@dataclass(frozen=True)
class Case:
    """One model and its input.

    Args:
        model: name of the class.
        modalities: per modality, the positional arguments of its `InputModality` after the name; for text those of
            its embedding.
        options: constructor arguments besides the modalities.
        pixels: whether inputs are 0 to 255 instead of normal.
        masked: whether a random flat mask is given.
        configurator: arguments of the `HierarchicalConfigurator`.
        methods: methods of a subclass that is built instead of the model.
    """

    model: str
    modalities: dict[str, tuple[float, ...]] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    pixels: bool = False
    masked: bool = False
    batch: int = BATCH
    configurator: tuple[int, int, int] | None = None
    methods: dict[str, Callable[..., Tensor]] = field(default_factory=dict)

    def build(self, library: SimpleNamespace) -> nn.Module:
        """The model from one library, with the weights of seed 0."""
        options = dict(self.options)
        if self.model != "Perceiver":
            options["modalities"] = [self._modality(library, name) for name in self.modalities]
        if self.configurator is not None:
            options["configurator"] = library.HierarchicalConfigurator(*self.configurator)
        cls = getattr(library, self.model)
        if self.methods:
            cls = type("Custom" + self.model, (cls,), self.methods)
        torch.manual_seed(0)
        return cls(**options)

    def inputs(self) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(1)
        names = ["image"] if self.model == "Perceiver" else list(self.modalities)
        inputs = {}
        for name in names:
            shape = (self.batch, *self._axes(name))
            if name == "text" and self.model == "MultiModalityWithTextPerceiver":
                inputs[name] = torch.randint(17, (*shape, 1), generator=generator)
            else:
                values = torch.randn(*shape, self._channels(name), generator=generator, dtype=torch.float64)
                inputs[name] = (values * 80 + 128).clamp(0, 255).round() if self.pixels else values
        return inputs

    def mask(self) -> Tensor | None:
        if not self.masked:
            return None
        tokens = sum(value.shape[1:-1].numel() for value in self.inputs().values())
        mask = torch.rand(self.batch, tokens, generator=torch.Generator().manual_seed(2)) > 0.4
        mask[:, 0] = True  # what a sample without any token gives is ours to define, and differs
        return mask

    def _axes(self, name: str) -> tuple[int, ...]:
        if self.model == "Perceiver":
            return (7, 4, 3)[: self.options.get("input_axis", 2)]
        return AXES[name]

    def _channels(self, name: str) -> int:
        return self.options.get("input_channels", 3) if self.model == "Perceiver" else int(self.modalities[name][0])

    def _modality(self, library: SimpleNamespace, name: str) -> Any:
        arguments = self.modalities[name]
        if name == "text" and self.model == "MultiModalityWithTextPerceiver":
            *arguments, width = arguments
            torch.manual_seed(3)
            embedding = nn.Embedding(17, int(width))
            return library.InputModalityWithEmbedding(name, *arguments, embedding=embedding)
        if self.model == "MultiModalityWithTextPerceiver":
            return library.InputModalityWithEmbedding(name, *arguments)
        return library.InputModality(name, *arguments)


# input_channels, input_axis, num_freq_bands, max_freq[, freq_base]
IMAGE, AUDIO, VIDEO = (3, 2, 4, 7.0), (1, 1, 5, 8.0), (3, 3, 2, 4.0)
TWO = {"image": IMAGE, "audio": AUDIO}
BASES = {"video": (3, 3, 3, 4.0, 10), "image": (3, 2, 4, 7.0, 3), "audio": (1, 1, 5, 8.0, 2)}
TEXT = {"text": (1, 1, 3, 5.0, 16), "image": IMAGE}

SIZES: dict[str, Any] = {"depth": 2, "cross_dim_head": 8, "latent_dim_head": 6, "latent_heads": 2}
LATENTS = {"num_latents": 4, "latent_dim": 12}
HEADS = {"cross_heads": 3, "latent_heads": 4}
TIED = {"weight_tie_layers": True}
BLOCKS = {"num_latent_blocks_per_layer": 3}
CLASSES = {"num_classes": 5}


def _perceiver(*options: dict[str, Any], **case: Any) -> Case:
    merged: dict[str, Any] = {"num_freq_bands": 4, "max_freq": 10.0, **SIZES, **LATENTS, **CLASSES}
    for option in options:
        merged |= option
    return Case("Perceiver", options=merged, **case)


def _multi(model: str, modalities: dict[str, Any], *options: dict[str, Any], **case: Any) -> Case:
    merged = dict(SIZES)
    if not model.startswith("Hierarchical"):
        merged |= LATENTS
    if not model.endswith("NoPooling"):
        merged |= CLASSES
    for option in options:
        merged |= option
    return Case(model, modalities, merged, **case)


MULTI, MULTI_NO_POOLING = "MultiModalityPerceiver", "MultiModalityPerceiverNoPooling"
WITH_TEXT = "MultiModalityWithTextPerceiver"
HIERARCHICAL = "HierarchicalMultiModalityPerceiver"
HIERARCHICAL_NO_POOLING = "HierarchicalMultiModalityPerceiverNoPooling"
FEWER = {"configurator": (3, 12, 6)}


def _pool_by_maximum(self: nn.Module, x: Tensor) -> Tensor:
    return x.amax(dim=1) - x[:, 0]


CASES: dict[str, Case] = {
    "perceiver, image": _perceiver(),
    "perceiver, series": _perceiver({"input_axis": 1, "input_channels": 1}),
    "perceiver, video": _perceiver({"input_axis": 3}),
    "perceiver, heads": _perceiver(HEADS, {"depth": 3}),
    "perceiver, tied": _perceiver(TIED, {"depth": 3}),
    "perceiver, tied, depth 1": _perceiver(TIED, {"depth": 1}),
    "perceiver, base 3, pixels": _perceiver({"freq_base": 3}, pixels=True),
    "perceiver, base 10, mask": _perceiver({"freq_base": 10}, masked=True),
    "perceiver, no bands": _perceiver({"num_freq_bands": 0}),
    "multi, two": _multi(MULTI, TWO),
    "multi, one": _multi(MULTI, {"image": IMAGE}),
    "multi, bases 2, 3 and 10": _multi(MULTI, BASES, {"depth": 3}),
    "multi, heads": _multi(MULTI, TWO, HEADS),
    "multi, tied": _multi(MULTI, TWO, TIED, {"depth": 3}),
    "multi, tied, blocks": _multi(MULTI, BASES, TIED, BLOCKS, {"depth": 3}),
    "multi, tied, blocks, depth 1": _multi(MULTI, TWO, TIED, BLOCKS, {"depth": 1}),
    "multi, blocks, gelu": _multi(MULTI, TWO, BLOCKS, {"use_gelu": True}),
    "multi, mask": _multi(MULTI, BASES, HEADS, masked=True),
    "multi, pixels, mask": _multi(MULTI, BASES, pixels=True, masked=True),
    "multi, video, heads, tied, mask": _multi(MULTI, {"video": VIDEO}, HEADS, TIED, {"depth": 3}, masked=True),
    "multi, one latent, one sample": _multi(MULTI, TWO, {"num_latents": 1}, batch=1),
    "multi, max_freq below the base": _multi(MULTI, {"image": (3, 2, 3, 1.0), "audio": (1, 1, 3, 2.0, 5)}),
    "multi, own pool": _multi(MULTI, TWO, methods={"pool": _pool_by_maximum}),
    "no pooling": _multi(MULTI_NO_POOLING, TWO),
    "no pooling, geglu, tied, blocks": _multi(MULTI_NO_POOLING, BASES, TIED, BLOCKS, {"use_gelu": False}),
    "no pooling, own pool, mask": _multi(MULTI_NO_POOLING, TWO, methods={"pool": _pool_by_maximum}, masked=True),
    "text": _multi(WITH_TEXT, TEXT),
    "text, default blocks, tied": _multi(WITH_TEXT, TEXT, TIED, {"depth": 3}),
    "text, remainder": _multi(WITH_TEXT, {"text": (1, 1, 3, 5.0, 17), "audio": AUDIO}, BLOCKS, HEADS, {"depth": 3}),
    "text, wider than the rest, mask": _multi(WITH_TEXT, {"text": (1, 1, 2, 5.0, 90)}, BLOCKS, masked=True),
    "text, three modalities, pixels": _multi(WITH_TEXT, TEXT | BASES, BLOCKS, TIED, pixels=True, masked=True),
    "text, nothing embedded": _multi(WITH_TEXT, TWO, BLOCKS),
    "hierarchical": Case(HIERARCHICAL, TWO, SIZES | CLASSES, configurator=(2, 8, 6)),
    "hierarchical, depth 3, heads": _multi(HIERARCHICAL, BASES, HEADS, {"depth": 3}, **FEWER),
    "hierarchical, blocks, gelu": _multi(HIERARCHICAL, TWO, BLOCKS, {"use_gelu": True}, **FEWER),
    "hierarchical, pixels, mask": _multi(HIERARCHICAL, BASES, pixels=True, masked=True, **FEWER),
    "hierarchical, odd number of latents": _multi(HIERARCHICAL, TWO, {"depth": 3}, configurator=(4, 7, 5)),
    "hierarchical, own pool": _multi(HIERARCHICAL, TWO, methods={"pool": _pool_by_maximum}, **FEWER),
    "hierarchical, no pooling": _multi(HIERARCHICAL_NO_POOLING, TWO, {"depth": 3}, **FEWER),
    "hierarchical, no pooling, geglu": _multi(HIERARCHICAL_NO_POOLING, BASES, BLOCKS, {"use_gelu": False}, **FEWER),
}


@dataclass(frozen=True)
class Result:
    output: Tensor
    gradients: dict[str, Tensor]


def run(model: nn.Module, case: Case, dtype: torch.dtype, *, of_release: bool = False) -> Result:
    """Output, and gradients of every parameter and of the floating-point inputs for a fixed weighting of the output."""
    model = model.to(dtype)
    inputs = {
        name: value.to(dtype).requires_grad_() if value.is_floating_point() else value
        for name, value in case.inputs().items()
    }
    given: Any = inputs["image"] if case.model == "Perceiver" else inputs

    def forward_and_backward() -> Tensor:
        output = model(given, mask=case.mask())
        weights = torch.cos(torch.arange(output.numel(), dtype=dtype)).view_as(output)
        (output * weights).sum().backward()
        return output.detach()

    if of_release:
        with running_release(dtype):
            output = forward_and_backward()
    else:
        output = forward_and_backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    gradients |= {f"input {name}": v.grad for name, v in inputs.items() if v.grad is not None}
    return Result(output, gradients)


def ours_and_theirs(case: Case) -> tuple[nn.Module, nn.Module]:
    return case.build(our_names()), case.build(release_names())


def dense_array(library: SimpleNamespace, model: nn.Module, data: dict[str, Tensor]) -> Tensor:
    """The classical input array, from the library's public functions."""
    parts = []
    for index, name in enumerate(sorted(data)):
        modality, values = model.modalities[name], data[name]
        batch, *axes, _ = values.shape
        grid = torch.stack(torch.meshgrid(*[torch.linspace(-1.0, 1.0, steps=n) for n in axes], indexing="ij"), dim=-1)
        positions = library.fourier_encode(grid, modality.max_freq, modality.num_freq_bands, modality.freq_base)
        positions = positions.flatten(-2).expand(batch, *axes, -1)
        padding = values.new_zeros(*values.shape[:-1], model.max_modality_dim - modality.input_dim - len(data))
        code = library.modality_encoding(batch, axes, index, len(data), device=values.device)
        parts.append(torch.cat((values, padding, positions, code), dim=-1).flatten(1, -2))
    return torch.cat(parts, dim=1)
