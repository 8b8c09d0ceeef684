"""Cross-attend problems, and their answer computed the textbook way, without any of the package's code."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from perceiver_pytorch.ops import Context


@dataclass(frozen=True)
class Spec:
    """One context in words.

    Args:
        axes: length of each axis.
        channels: raw channels.
        features: features of every axis' table; None: no tables.
        code: channels of the code; 0: none.
        mask: None, "random", "first sample" (the first sample has no token), "none" (no sample has one).
        per_sample: whether the first axis' table differs per sample.
        affine: whether raw channels are scaled and shifted.
        ordered: whether the channels stand in an order of their own.
        dtype: of the data.
        values: changes the standard normal data.
    """

    axes: tuple[int, ...] = (4, 5)
    channels: int = 3
    features: int | None = 3
    code: int = 2
    mask: str | None = None
    per_sample: bool = False
    affine: bool = False
    ordered: bool = False
    dtype: torch.dtype = torch.float64
    values: Callable[[Tensor], Tensor] = field(default=lambda data: data)

    @property
    def num_channels(self) -> int:
        return self.channels + (self.features or 0) * len(self.axes) + self.code

    def context(self, batch: int, width: int, dtype: torch.dtype = torch.float64) -> Context:
        """The context, padded to ``width`` channels; its constants (and float data) in ``dtype``."""

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, dtype=torch.float64)

        data = self.values(normal(batch, *self.axes, self.channels)).to(self.dtype)
        data = data.to(dtype) if self.dtype == torch.float64 else data
        tables = ()
        if self.features is not None:
            leads = [(batch,) if self.per_sample and axis == 0 else () for axis in range(len(self.axes))]
            tables = tuple(normal(*lead, n, self.features).to(dtype) for lead, n in zip(leads, self.axes, strict=True))
        return Context(
            data,
            tables,
            normal(self.code).to(dtype) if self.code else None,
            width - self.num_channels,
            self._mask(batch),
            (torch.rand(self.channels, dtype=torch.float64) + 0.5).to(dtype) if self.affine else None,
            normal(self.channels).to(dtype) if self.affine else None,
            torch.randperm(width) if self.ordered else None,
        )

    def _mask(self, batch: int) -> Tensor | None:
        if self.mask is None:
            return None
        mask = torch.rand(batch, *self.axes) > 0.4
        mask.flatten(1)[:, -1] = True
        if self.mask == "first sample":
            mask[0] = False
        if self.mask == "none":
            mask[:] = False
        return mask


def pixels(data: Tensor) -> Tensor:
    return (data * 70 + 120).clamp(0, 255).round()


@dataclass(frozen=True)
class Problem:
    """Arguments of a `cross_attend`."""

    queries: Tensor
    contexts: list[Context]
    weights: dict[str, Tensor]
    heads: int

    @classmethod
    def of(
        cls,
        *specs: Spec,
        batch: int = 2,
        latents: int = 3,
        heads: int = 1,
        dim_head: int = 4,
        value_dim_head: int | None = None,
        value_bias: bool = False,
        extra_padding: int = 0,
        score_scale: float = 1.0,
        dtype: torch.dtype = torch.float64,
        seed: int = 0,
    ) -> "Problem":
        torch.manual_seed(seed)
        width = max(spec.num_channels for spec in specs) + extra_padding
        inner = heads * dim_head

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, dtype=torch.float64)

        queries = normal(batch, latents, inner) * score_scale
        weights = {
            "key_weight": normal(inner, width) / width**0.5,
            "value_weight": normal(heads * (value_dim_head or dim_head), width) / width**0.5,
            "norm_weight": normal(width) * 0.3 + 1,
            "norm_bias": normal(width) * 0.3,
        }
        if value_bias:
            weights["value_bias"] = normal(heads * (value_dim_head or dim_head))
        contexts = [spec.context(batch, width, dtype) for spec in specs]
        return cls(queries.to(dtype), contexts, {name: w.to(dtype) for name, w in weights.items()}, heads)

    def to(self, dtype: torch.dtype) -> "Problem":
        """The same numbers in another dtype (data of a narrower dtype stays as it is)."""

        def cast(tensor: Tensor | None) -> Tensor | None:
            return tensor.to(dtype) if tensor is not None and tensor.dtype in (torch.float32, torch.float64) else tensor

        contexts = [
            replace(
                context,
                data=cast(context.data),
                tables=tuple(cast(table) for table in context.tables),
                code=cast(context.code),
                scale=cast(context.scale),
                offset=cast(context.offset),
            )
            for context in self.contexts
        ]
        return Problem(cast(self.queries), contexts, {n: cast(w) for n, w in self.weights.items()}, self.heads)

    def on(self, device: torch.device | str) -> "Problem":
        """The same on a device."""

        def moved(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.detach().to(device)

        names = ("data", "code", "mask", "scale", "offset", "order")
        contexts = [
            replace(
                context,
                tables=tuple(moved(table) for table in context.tables),
                **{name: moved(getattr(context, name)) for name in names},
            )
            for context in self.contexts
        ]
        return Problem(moved(self.queries), contexts, {n: moved(w) for n, w in self.weights.items()}, self.heads)

    def arguments(self) -> dict[str, Any]:
        return {"queries": self.queries, "contexts": self.contexts, "heads": self.heads, **self.weights}

    def requires_grad(self) -> dict[str, Tensor]:
        """Asks for the gradient of every floating-point tensor; these, by name."""
        tensors = {"queries": self.queries, **self.weights}
        for i, context in enumerate(self.contexts):
            tensors |= {f"data {i}": context.data, f"code {i}": context.code}
            tensors |= {f"table {i}, {axis}": table for axis, table in enumerate(context.tables)}
        floats = {name: t for name, t in tensors.items() if t is not None and t.is_floating_point()}
        for tensor in floats.values():
            tensor.requires_grad_()
        return floats


def dense_tokens(context: Context, dtype: torch.dtype) -> Tensor:
    """The input array ``(batch, tokens, channels)``, token by token."""
    batch = context.data.shape[0]
    samples = []
    for sample in range(batch):
        tokens = []
        for index in itertools.product(*[range(n) for n in context.data.shape[1:-1]]):
            raw = context.data[(sample, *index)].to(dtype)
            if context.scale is not None:
                raw = raw * context.scale.to(dtype)
            if context.offset is not None:
                raw = raw + context.offset.to(dtype)
            parts = [raw, torch.zeros(context.padding, dtype=dtype, device=raw.device)]
            for table, i in zip(context.tables, index, strict=False):
                parts.append((table if table.dim() == 2 else table[sample])[i].to(dtype))
            if context.code is not None:
                parts.append(context.code.to(dtype))
            token = torch.cat(parts)
            if context.order is not None:
                token = torch.zeros_like(token).index_put((context.order,), token)
            if context.mask is not None and not context.mask[(sample, *index)]:
                token = torch.zeros_like(token)  # what it holds has no influence, NaN included
            tokens.append(token)
        samples.append(torch.stack(tokens))
    return torch.stack(samples)


def dense_attention(
    queries: Tensor,
    contexts: Sequence[Context],
    *,
    key_weight: Tensor,
    value_weight: Tensor,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    value_bias: Tensor | None = None,
    heads: int = 1,
    eps: float = 1e-5,
) -> Tensor:
    """LayerNorm, projection to keys and values, softmax over all tokens, weighted sum: in the dtype of the queries."""
    tokens = torch.cat([dense_tokens(context, queries.dtype) for context in contexts], dim=1)
    normalised = F.layer_norm(tokens, tokens.shape[-1:], norm_weight, norm_bias, eps)
    masks = [
        (torch.ones(c.data.shape[:-1], dtype=torch.bool, device=c.data.device) if c.mask is None else c.mask).flatten(1)
        for c in contexts
    ]
    mask = torch.cat(masks, dim=1)
    keys, values = normalised @ key_weight.T, normalised @ value_weight.T
    values = values if value_bias is None else values + value_bias
    outputs = []
    for query, key, value in zip(*(t.chunk(heads, dim=-1) for t in (queries, keys, values)), strict=True):
        scores = query @ key.mT / query.shape[-1] ** 0.5
        weights = (scores - scores.amax(-1, keepdim=True).detach()).exp()
        if not mask.all():
            masked_scores = scores.masked_fill(~mask[:, None], torch.finfo(scores.dtype).min)
            weights = (masked_scores - masked_scores.amax(-1, keepdim=True).detach()).exp() * mask[:, None]
        total = weights.sum(-1, keepdim=True)
        outputs.append(weights @ value / torch.where(total == 0, torch.ones_like(total), total))
    return torch.cat(outputs, dim=-1)


# Loops are compiled for each dtype and number of channels, which takes many seconds: problems share the few here. Along
# one axis features count as channels.
IMAGE, SERIES, VIDEO = Spec(), Spec((7,), channels=1, code=2), Spec((2, 3, 4))

PROBLEMS = {
    "one axis": ((SERIES,), {}),
    "two axes": ((IMAGE,), {}),
    "three axes": ((VIDEO,), {}),
    "four axes": ((Spec((2, 3, 2, 2), features=2),), {}),
    "several heads": ((IMAGE,), {"heads": 3}),
    "several contexts": ((IMAGE, SERIES, VIDEO), {"heads": 2}),
    "one latent, one sample": ((IMAGE, SERIES), {"latents": 1, "batch": 1}),
    "one token": ((Spec((1,), channels=1),), {}),
    "axes of length one": ((Spec((1, 4, 1)),), {}),
    "mask": ((replace(IMAGE, mask="random"),), {"heads": 2}),
    "masks of some contexts": ((replace(VIDEO, mask="random"), SERIES), {"heads": 2}),
    "a context without tokens": ((replace(IMAGE, mask="none"), SERIES), {}),
    "a context without tokens for one sample": ((replace(IMAGE, mask="first sample"), SERIES), {}),
    "a sample without tokens": ((replace(IMAGE, mask="first sample"),), {"heads": 2}),
    "a sample without tokens in all contexts": (
        (replace(IMAGE, mask="first sample"), replace(SERIES, mask="first sample")),
        {},
    ),
    "per-sample tables": ((replace(VIDEO, per_sample=True), SERIES), {"heads": 2}),
    "per-sample tables, one sample": ((replace(SERIES, per_sample=True),), {"batch": 1}),
    "per-sample tables, mask": ((replace(IMAGE, per_sample=True, mask="random"),), {}),
    "uint8": ((replace(IMAGE, dtype=torch.uint8, values=pixels),), {}),
    "uint8 scaled": ((replace(IMAGE, dtype=torch.uint8, values=pixels, affine=True, mask="random"),), {"heads": 2}),
    "int64": ((replace(SERIES, dtype=torch.int64, values=pixels),), {}),
    "bool": ((replace(IMAGE, dtype=torch.bool, values=lambda data: data > 0),), {}),
    "float scaled": ((replace(IMAGE, affine=True), replace(SERIES, affine=True)), {}),
    "float16": ((replace(IMAGE, dtype=torch.float16),), {}),
    "bfloat16": ((replace(IMAGE, dtype=torch.bfloat16, mask="random"),), {}),
    "no tables": ((replace(IMAGE, features=None),), {}),
    "no code": ((replace(VIDEO, code=0),), {}),
    "data alone": ((replace(IMAGE, features=None, code=0),), {}),
    "no data channels": ((replace(IMAGE, channels=0),), {}),
    "tables without features": ((replace(IMAGE, features=0),), {}),
    "padding": ((IMAGE,), {"extra_padding": 5}),
    "padding, nothing else": ((replace(IMAGE, features=None, code=0),), {"extra_padding": 9}),
    "wider values": ((IMAGE, SERIES), {"heads": 2, "value_dim_head": 7}),
    "narrower values with a bias": ((IMAGE,), {"heads": 2, "value_dim_head": 1, "value_bias": True}),
    "value bias, a sample without tokens": ((replace(IMAGE, mask="first sample"),), {"value_bias": True}),
    "value bias, one context without tokens": (
        (replace(IMAGE, mask="none"), replace(SERIES, mask="random")),
        {"value_bias": True, "heads": 2, "value_dim_head": 3},
    ),
    "a wide array": ((Spec((9,), channels=70, features=None, code=0),), {"heads": 2, "value_bias": True}),
    "a wide array, a sample without tokens": (
        (Spec((9,), channels=70, features=None, code=0, mask="first sample"),),
        {"heads": 2, "value_dim_head": 3, "value_bias": True},
    ),
    "channels in an order of their own": ((replace(IMAGE, ordered=True), replace(SERIES, ordered=True)), {"heads": 2}),
    "channels in an order of their own, mask": ((replace(VIDEO, ordered=True, mask="random"),), {"extra_padding": 2}),
    "constant tokens": ((Spec((6,), channels=8, features=None, code=0, values=torch.zeros_like),), {}),
}
"""{name: (contexts, arguments of `Problem.of`)}: what every backend has to get right."""

HARD = {
    "large means": ((replace(IMAGE, values=lambda data: data + 1e4),), {}),
    "large means, data alone": (
        (Spec((40,), channels=8, features=None, code=0, values=lambda data: data + 1e4),),
        {"heads": 2},
    ),
    "large common mean": ((replace(IMAGE, values=lambda data: data * 1e-2 - 1e3, mask="random"), SERIES), {}),
    "pixels": ((replace(VIDEO, values=pixels),), {}),
    "scores of 100": ((IMAGE, SERIES), {"score_scale": 1e2, "heads": 2}),
    "scores of 10 000": ((IMAGE, SERIES), {"score_scale": 1e4}),
    "tiny spread": ((Spec((9,), channels=8, features=None, code=0, values=lambda data: data * 1e-4),), {}),
}
"""The same where numbers are large, or nearly alike."""
