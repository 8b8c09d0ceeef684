"""Attention of every model that reads by `cross_attend`, and of `PerceiverAR`: recorded, and rolled out to its outputs.

    with recorded(model) as record:
        model(batch)
    record.reads[0].of(latents=[3], heads=[0])   # weights by token, of each context
    record.rollout(pooled(record))                # how much of every output comes from every token

What an output is made of, `pooled` says of models that average their latents, `decoded` of those with a decoder
(`PerceiverIO`, `PerceiverLM`, published models), `each_latent` of `PerceiverAR`, whose latents are positions.

The rollout is that of Abnar and Zuidema (2020, arXiv 2005.00928), heads averaged and each residual counted as half,
with the cross-attends as what brings tokens in. It is run from the outputs back, so that it never holds more than an
array of outputs by tokens.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from perceiver_pytorch.explain.causal import CausalWeights, causal_weights
from perceiver_pytorch.nn.attention import Attention
from perceiver_pytorch.nn.block import AttentionBlock
from perceiver_pytorch.nn.causal import CausalAttention
from perceiver_pytorch.nn.layer import LatentTransformer, PerceiverLayer
from perceiver_pytorch.nn.plain import is_plain
from perceiver_pytorch.nn.tokens import Tokens
from perceiver_pytorch.ops import Context
from perceiver_pytorch.ops.weights import AttentionWeights

KEPT = 0.5
"""What a residual keeps, in a rollout, of the latents that attention adds to."""


@dataclass(frozen=True, eq=False)
class Read:
    """Latents attended to input; or the queries of a decoder, if ``to_latents``, to the latents. With ``own``, latents
    are the last tokens themselves, and not learned."""

    weights: AttentionWeights | CausalWeights
    residual: bool = True
    to_latents: bool = False
    own: bool = False


@dataclass(frozen=True, eq=False)
class Mix:
    """Latents attended to one another: queries and keys ``(batch, heads, latents, dim_head)``, the former scaled; with
    ``causal``, each to those up to its own, and that has the weights."""

    query: Tensor
    key: Tensor
    residual: bool = True
    causal: CausalWeights | None = None

    def weights(self) -> Float[Tensor, "batch heads latents latents"]:
        return (self.query @ self.key.mT).softmax(-1) if self.causal is None else self.causal.of()[0]


@dataclass(frozen=True)
class Mark:
    """Where a stack of blocks begins and ends whose input is added to its output once more; or, with ``latents``, where
    a layer adds the latents before it to as many or fewer of its own."""

    begins: bool = False
    ends: bool = False
    latents: int = 0


@dataclass(eq=False)
class Record:
    """What a forward pass attended to, in the order of its steps.

    Attributes:
        steps: cross-attends, self-attends and what lies between.
    """

    steps: list[Read | Mix | Mark] = field(default_factory=list)

    @property
    def reads(self) -> list[AttentionWeights | CausalWeights]:
        """The weights of each cross-attend onto the input, from the first layer to the last."""
        return [step.weights for step in self.steps if isinstance(step, Read) and not step.to_latents]

    @property
    def decodes(self) -> list[AttentionWeights | CausalWeights]:
        """The weights of each chunk of a decoder's queries over the latents."""
        return [step.weights for step in self.steps if isinstance(step, Read) and step.to_latents]

    @property
    def num_latents(self) -> int:
        """Of the last layer."""
        last = next(step for step in reversed(self.steps) if not (isinstance(step, Mark) or _decodes(step)))
        query = last.query if isinstance(last, Mix) else last.weights.query
        return query.shape[2]

    @torch.no_grad()
    def rollout(
        self, outputs: Float[Tensor, "one_or_batch outputs latents"]
    ) -> list[Float[Tensor, "batch outputs *axes"]]:
        """How much of each output comes from each token, per context; what is missing to 1 comes from learned latents.

        Args:
            outputs: how each output is made of the last latents, such as `pooled`, `decoded` and `each_latent` say.
        """
        reads = self.reads
        share = outputs.expand(reads[0].query.shape[0], -1, -1).to(reads[0].query.dtype)
        total: list[Tensor] | None = None
        added: list[Tensor] = []
        for step in reversed(self.steps):
            if isinstance(step, Mark):
                if step.ends:
                    added.append(share)
                elif step.begins:
                    share = KEPT * share + (1 - KEPT) * added.pop()
                else:
                    share = KEPT * F.pad(share, (0, step.latents - share.shape[-1]))
            elif isinstance(step, Mix):
                kept = KEPT if step.residual else 0.0
                share = kept * share + (1 - kept) * share @ step.weights().mean(1)
            elif not step.to_latents:
                kept = KEPT if step.residual else 0.0
                found = step.weights.summed(_by_head((1 - kept) * share, step.weights.query.shape[1]))
                total = found if total is None else [a + b for a, b in zip(total, found, strict=True)]
                share = kept * share
        assert total is not None
        if any(isinstance(step, Read) and step.own for step in self.steps):
            total[0][..., -share.shape[-1] :] += share
        return total


def pooled(record: Record, groups: int = 1) -> Float[Tensor, "1 groups latents"]:
    """Outputs that are means of latents: of all of them, or of as many groups as there are tasks."""
    parts = torch.arange(record.num_latents).tensor_split(groups)
    shares = torch.zeros(1, groups, record.num_latents, device=record.reads[0].query.device)
    for i, part in enumerate(parts):
        shares[0, i, part] = 1 / max(1, len(part))
    return shares


def decoded(record: Record) -> Float[Tensor, "batch queries latents"]:
    """Outputs that a decoder reads from the latents, one per query."""
    if not record.decodes:
        raise ValueError("the model decoded no output: give it outputs, or ask for `pooled` ones")
    return torch.cat([weights.of()[0].mean(1) for weights in record.decodes], dim=1)


def each_latent(record: Record, chosen: Sequence[int] | slice = slice(None)) -> Float[Tensor, "1 chosen latents"]:
    """Outputs that are latents, such as the positions that a `PerceiverAR` predicts the next tokens of."""
    return torch.eye(record.num_latents, device=record.reads[0].query.device)[chosen].unsqueeze(0)


@contextmanager
def recorded(model: nn.Module) -> Iterator[Record]:
    """A record of what is attended to by the forward passes of ``model`` within the block, without gradients.

    Raises:
        ValueError: at the end, if nothing was recorded: the model does not read by cross-attends.
    """
    record, recorder = Record(), ExitStack()
    seen: dict[str, Any] = {}

    def attention(module: Attention, arguments: Any, options: Any) -> None:
        given = {**dict(zip(("x", "context", "mask"), arguments, strict=False)), **options}
        record.steps.append(_of_attention(module, given["x"], given.get("context")))

    def block(module: AttentionBlock, arguments: Any, options: Any) -> None:
        given = {**dict(zip(("x", "context", "mask"), arguments, strict=False)), **options}
        record.steps.append(_of_block(module, **given, latents=seen.get("latents")))

    def causal(module: CausalAttention, arguments: Any) -> None:
        x, context, places, cache = (*arguments, None)[:4]
        weights = causal_weights(module, x, context, places, cache)
        step = Mix(weights.query, weights.key, causal=weights) if context is x else Read(weights, own=True)
        record.steps.append(step)

    def after(module: nn.Module, arguments: Any, output: Any) -> None:
        if not _decodes(record.steps[-1]):
            seen["latents"] = output

    def mark(mark: Mark) -> Any:
        return lambda *_: record.steps.append(mark)

    def entered(module: nn.Module, arguments: Any, options: Any, own: int) -> None:
        if record.steps:
            record.steps.append(Mark(latents=own))

    for module in model.modules():
        if isinstance(module, Attention):
            recorder.callback(module.register_forward_pre_hook(attention, with_kwargs=True).remove)
        if isinstance(module, CausalAttention):
            recorder.callback(module.register_forward_pre_hook(causal).remove)
        if isinstance(module, AttentionBlock):
            recorder.callback(module.register_forward_pre_hook(block, with_kwargs=True).remove)
            recorder.callback(module.register_forward_hook(after).remove)
        if isinstance(module, PerceiverLayer) and module.double_residual:
            blocks = module.latent_transformer
            if isinstance(blocks, LatentTransformer):
                recorder.callback(blocks.register_forward_pre_hook(mark(Mark(begins=True))).remove)
                recorder.callback(blocks.register_forward_hook(mark(Mark(ends=True))).remove)
        if isinstance(getattr(module, "latents", None), nn.ParameterList):  # the hierarchical form
            for before, layer in zip(module.latents, list(module.layers)[1:], strict=False):  # type: ignore
                hook = partial(entered, own=len(before))
                recorder.callback(layer.register_forward_pre_hook(hook, with_kwargs=True).remove)
    with recorder, torch.no_grad():
        yield record
    if not any(isinstance(step, Read) for step in record.steps):
        raise ValueError(f"a {type(model).__name__} reads by no cross-attend, or did not run: no attention is recorded")


def _of_attention(module: Attention, x: Tensor, context: Any) -> Read | Mix:
    query = module.to_q(x).unflatten(-1, (module.heads, -1)).transpose(1, 2)
    query = query * query.shape[-1] ** -0.5
    if not isinstance(context, Tokens):
        key = module.to_kv(x if context is None else context).chunk(2, -1)[0]
        return Mix(query, key.unflatten(-1, (module.heads, -1)).transpose(1, 2))
    norm, to_kv = context.norm, module.to_kv
    contexts = _whole(context.contexts)
    if is_plain(to_kv) and is_plain(norm, nn.LayerNorm):
        return Read(_plain(query, contexts, to_kv.weight.chunk(2)[0], norm))

    def keys(tokens: Tensor) -> Tensor:
        return to_kv(norm(tokens)).chunk(2, -1)[0].unflatten(-1, (module.heads, -1)).transpose(1, 2)

    return Read(AttentionWeights(query, contexts, keys))


def _of_block(
    module: AttentionBlock, x: Tensor, context: Any = None, mask: Tensor | None = None, latents: Any = None
) -> Read | Mix:
    x = module.norm(x)
    if context is None:
        query, key = module._by_head(module.to_q(x)), module._by_head(module.to_k(x))
        if mask is not None or module.inverted:
            raise ValueError("attention of a self-attend with a mask, or of competing latents, is not recorded")
        return Mix(query * query.shape[-1] ** -0.5, key, module.query_residual)
    to_latents = isinstance(context, Tensor) and context is latents
    contexts = [Context(context, mask=mask)] if isinstance(context, Tensor) else _whole(context)
    query = module._by_head(module.to_q(x)).expand(contexts[0].data.shape[0], -1, -1, -1)
    query = query * query.shape[-1] ** -0.5
    norm = module.norm_context
    assert norm is not None
    if is_plain(module.to_k) and is_plain(norm, nn.LayerNorm) and not module.inverted:
        weights = _plain(query, contexts, module.to_k.weight, norm)
    else:
        keys = _keys_of(module, norm)
        weights = AttentionWeights(query, contexts, keys, competing=module.inverted)
    return Read(weights, module.query_residual, to_latents)


def _whole(contexts: Sequence[Any]) -> list[Context]:
    found = [context for context in contexts if isinstance(context, Context)]
    if len(found) < len(contexts):
        raise ValueError("attention to streamed input is not recorded: give the model the whole input")
    return found


def _keys_of(module: AttentionBlock, norm: nn.Module) -> Any:
    return lambda tokens: module._by_head(module.to_k(norm(tokens)))


def _plain(query: Tensor, contexts: Any, weight: Tensor, norm: Any) -> AttentionWeights:
    """Weights by what is folded into the queries, as `cross_attend` does it."""
    dtype = torch.promote_types(query.dtype, torch.float32)
    key = weight.to(dtype).unflatten(0, (query.shape[1], -1))
    if norm.weight is not None:
        key = key * norm.weight.to(dtype)
    return AttentionWeights(query.to(dtype), contexts, key_weight=key, eps=norm.eps)


def _by_head(share: Tensor, heads: int) -> Tensor:
    """(batch, outputs, latents) -> (batch, outputs, heads, latents), which sum up to the same."""
    return (share / heads).unsqueeze(2).expand(-1, -1, heads, -1)


def _decodes(step: Any) -> bool:
    return isinstance(step, Read) and step.to_latents
