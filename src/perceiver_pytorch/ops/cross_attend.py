"""Cross-attend: the one way in which latents read an input.

With normalised tokens ``x̂ = LayerNorm(x)``, keys and values ``W_k (γ x̂ + β)`` and ``W_v (γ x̂ + β)`` and a query
``q_n`` (one head), softmax over the tokens does not see what is the same for all of them, so that

    score_nm = row_n · x̂_m     with  row_n = scale · γ ∘ (W_kᵀ q_n)
    mixed_n  = Σ_m softmax_m(score_nm) x̂_m
    output_n = W_v (γ ∘ mixed_n + β)

`attend` computes ``mixed`` for one context, without keys and values; `cross_attend` folds the weights in and out and
joins the contexts of several modalities by their log-sum-exp, which is the softmax over all their tokens; likewise the
parts that several processes have of them (`split`), and the pieces of a stream (`streamed`). `choose` plans which way
each context goes: where keys and values are cheaper, as for many channels, through `projected`.
"""

from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from perceiver_pytorch.ops import split
from perceiver_pytorch.ops.backend import Backend
from perceiver_pytorch.ops.choose import backend_for, plan
from perceiver_pytorch.ops.context import Context
from perceiver_pytorch.ops.joining import Part, join
from perceiver_pytorch.ops.precision import full_precision, rows_of
from perceiver_pytorch.ops.projected import attend_one_context, attend_projected
from perceiver_pytorch.ops.streamed import AnyContext, StreamedContext, attend_streamed


def attend(
    rows: Float[Tensor, "batch rows channels"], context: Context, *, eps: float = 1e-5
) -> tuple[Float[Tensor, "batch rows channels"], Float[Tensor, "batch rows"]]:
    """Attention of ``rows`` over the normalised tokens of one context.

    Args:
        rows: ``(batch, rows, context.num_channels)``; all heads and latents are rows here. float16 and bfloat16
            are read as they are, on tensor cores where there are any, and computed with in float32.
        context: the tokens; normalised over their channels, without affine weights.
        eps: LayerNorm's epsilon.

    Returns:
        mixed ``(batch, rows, channels)``, the attention-weighted mean of the normalised tokens (zero where a sample has
        no unmasked token), and lse ``(batch, rows)``, the log-sum-exp of the scores (-inf there).

    Raises:
        ValueError: if batch or channels differ, or the selected backend does not take the problem.
    """
    expected = (context.data.shape[0], context.num_channels)
    if (rows.shape[0], rows.shape[2]) != expected:
        raise ValueError(f"rows must be (batch={expected[0]}, rows, channels={expected[1]}), got {tuple(rows.shape)}")
    return _attend(backend_for(rows, context), rows, context, eps)


def _attend(backend: Backend, rows: Tensor, context: Context, eps: float) -> tuple[Tensor, Tensor]:
    """`attend` by a backend, which sees channels one part after the other."""
    if context.order is None:
        return backend.attend(rows, context, eps)
    mixed, lse = backend.attend(rows[..., context.order], context.in_parts_order(), eps)
    return mixed[..., context.order.argsort()], lse


def cross_attend(
    queries: Float[Tensor, "batch latents inner"],
    contexts: Sequence[AnyContext],
    *,
    key_weight: Float[Tensor, "inner channels"],
    value_weight: Float[Tensor, "value_inner channels"],
    norm_weight: Float[Tensor, " channels"] | None,
    norm_bias: Float[Tensor, " channels"] | None,
    value_bias: Float[Tensor, " value_inner"] | None = None,
    heads: int = 1,
    eps: float = 1e-5,
) -> Float[Tensor, "batch latents value_inner"]:
    """Multi-head attention of queries over the tokens of all contexts together (one softmax).

    The same as concatenating every ``context.dense()``, LayerNorm with ``norm_weight`` and ``norm_bias``, projecting to
    keys and values, and scaled dot-product attention (Perceiver, section 3.1; release 1.4.0). Computed in float32 or
    wider, whatever the dtype of the queries; on a GPU rows may be rounded to bfloat16 where queries are of it. A bias
    of the keys would add the same to all scores of a query, which a softmax does not see: there is no argument for it.

    Args:
        queries: ``(batch, latents, heads * dim_head)`` projected queries.
        contexts: at least one context; all with the same batch and number of channels.
        key_weight: ``(heads * dim_head, channels)``, as in ``nn.Linear``.
        value_weight: ``(heads * value_dim_head, channels)``; values may be wider or narrower than keys.
        norm_weight, norm_bias: ``(channels,)`` affine weights of the context's LayerNorm; None for none.
        value_bias: ``(heads * value_dim_head,)`` or None.
        heads: number of heads.
        eps: LayerNorm's epsilon.

    Returns:
        ``(batch, latents, heads * value_dim_head)`` in the dtype of the queries; zero for a sample whose tokens are all
        masked.

    Raises:
        ValueError: if there is no context or shapes differ.
    """
    _check(queries, contexts, key_weight, value_weight, heads)
    channels = key_weight.shape[1]
    dtype = torch.promote_types(torch.promote_types(queries.dtype, key_weight.dtype), torch.float32)
    # Under autocast the folded weights would be rounded to half precision, which the scores then amplify.
    with full_precision(queries.device):
        query = queries.to(dtype).unflatten(-1, (heads, -1)).transpose(1, 2)
        query = query * query.shape[-1] ** -0.5
        key = key_weight.to(dtype).view(heads, -1, channels)
        value = value_weight.to(dtype).view(heads, -1, channels)
        scale = None if norm_weight is None else norm_weight.to(dtype)
        rows = rows_of(queries.dtype, queries.device)
        output, some = _attend_to_all(query, contexts, key, value, scale, eps, rows)
        # What both biases add to every value; the weights of a query sum up to 1, unless it attends to nothing.
        shift = None if value_bias is None else value_bias.to(dtype).view(heads, 1, -1)
        if norm_bias is not None:
            by_norm = (value @ norm_bias.to(dtype)).unsqueeze(1)
            shift = by_norm if shift is None else shift + by_norm
        if shift is not None:
            output = output + (shift if some is None else shift * some.unsqueeze(-1))
    return output.transpose(1, 2).flatten(2).to(queries.dtype)


def _check(
    queries: Tensor, contexts: Sequence[AnyContext], key_weight: Tensor, value_weight: Tensor, heads: int
) -> None:
    if not contexts:
        raise ValueError("cross_attend needs at least one context")
    batch, _, inner = queries.shape
    if inner != key_weight.shape[0]:
        raise ValueError(f"queries must be (batch, latents, {key_weight.shape[0]}), got {tuple(queries.shape)}")
    for size, of in ((inner, "queries"), (value_weight.shape[0], "values")):
        if size % heads:
            raise ValueError(f"heads must divide the {size} channels of the {of}, got {heads}")
    channels = key_weight.shape[1]
    for i, context in enumerate(contexts):
        if (context.data.shape[0], context.num_channels) != (batch, channels):
            raise ValueError(
                f"contexts must have the queries' batch size {batch} and the weights' {channels} channels, "
                f"got {context.data.shape[0]} and {context.num_channels} in context {i}"
            )


def _attend_to_all(
    query: Tensor,
    contexts: Sequence[AnyContext],
    key: Tensor,
    value: Tensor,
    scale: Tensor | None,
    eps: float,
    rows: torch.dtype,
) -> tuple[Tensor, Tensor | None]:
    """Weighted values (batch, heads, latents, value_dim_head) without biases, and which of them have a token (None:
    all).
    """
    attend_to_held = partial(_attend_to_held, dtype=rows)
    held = [context for context in contexts if isinstance(context, Context)]
    streamed = [context for context in contexts if isinstance(context, StreamedContext)]
    is_split = split.group() is not None
    ways = plan(query, held, key, value)
    if ways == [None] and not streamed and not is_split:
        mask = held[0].mask
        some = None if mask is None else mask.flatten(1).any(-1)[:, None, None]
        return attend_one_context(query, held[0], key, value, scale, eps), some
    parts = [attend_streamed(attend_to_held, query, context, key, value, scale, eps) for context in streamed]
    if held:
        parts.append(attend_to_held(query, held, key, value, scale, eps, ways=ways))
    output, lse = split.join_processes(join(parts)) if is_split else join(parts)
    return output, lse > float("-inf")


def _attend_to_held(
    query: Tensor,
    contexts: Sequence[Context],
    key: Tensor,
    value: Tensor,
    scale: Tensor | None,
    eps: float,
    *,
    dtype: torch.dtype,
    ways: Sequence[Backend | None] | None = None,
) -> Part:
    """Weighted values and log-sum-exps (batch, heads, latents) of contexts that are in memory.

    ``ways`` are those that are planned, else it plans; ``dtype`` is that of rows for backends that gain by it.
    """
    ways = plan(query, contexts, key, value) if ways is None else ways
    planned = list(zip(contexts, ways, strict=True))
    parts = [attend_projected(query, context, key, value, scale, eps) for context, way in planned if way is None]
    by_rows = [(context, way) for context, way in planned if way is not None]
    if by_rows:
        rows = (query @ key if scale is None else query @ key * scale).flatten(1, 2)
        mixed, lse = join(_attend_each(rows, by_rows, eps, dtype))
        mixed = mixed if scale is None else mixed * scale
        parts.append((mixed.unflatten(1, query.shape[1:3]) @ value.mT, lse.unflatten(1, query.shape[1:3])))
    return join(parts)


def _attend_each(
    rows: Tensor, contexts: Sequence[tuple[Context, Backend]], eps: float, dtype: torch.dtype
) -> list[Part]:
    """What rows get from contexts by their ways, one after the other, or all at once where the way can do that."""
    parts = [
        _attend(backend, rows.to(dtype) if backend.reads_half else rows, context, eps)
        for context, backend in contexts
        if backend.together is None
    ]
    others = [(context, backend) for context, backend in contexts if backend.together is not None]
    while others:  # by names: PyTorch 2.6 compiles neither backends as keys nor whether two are one
        first = others[0][1]
        same = [context for context, backend in others if backend.name == first.name]
        parts.append(first.attend_to_all(rows, same, eps))
        others = [(context, backend) for context, backend in others if backend.name != first.name]
    return parts
