"""Cross-attend: the one way in which latents read an input.

With normalised tokens ``x̂ = LayerNorm(x)``, keys and values ``W_k (γ x̂ + β)`` and ``W_v (γ x̂ + β)`` and a query
``q_n`` (one head), softmax over the tokens does not see what is the same for all of them, so that

    score_nm = row_n · x̂_m     with  row_n = scale · γ ∘ (W_kᵀ q_n)
    mixed_n  = Σ_m softmax_m(score_nm) x̂_m
    output_n = W_v (γ ∘ mixed_n + β)

Keys and values are never formed. `attend` computes ``mixed`` for one context; `cross_attend` folds the weights in and
out and joins the contexts of several modalities by their log-sum-exp, which is the softmax over all their tokens.
"""

import contextlib
from collections.abc import Iterator, Sequence
from types import ModuleType

import torch
from jaxtyping import Float
from torch import Tensor

from perceiver_pytorch.ops.backends import chunked, compiled, reference
from perceiver_pytorch.ops.context import Context
from perceiver_pytorch.ops.precision import full_precision

# In order of preference. A backend that needs more than PyTorch may import it on first use, inside its functions.
_BACKENDS: dict[str, ModuleType] = {module.name: module for module in (compiled, chunked, reference)}
_selection = {"backend": "auto"}  # a plain global: torch.compile guards on it, and cannot read a context variable


def backend_names() -> tuple[str, ...]:
    """Names that `use_backend` takes besides ``"auto"``."""
    return tuple(_BACKENDS)


@contextlib.contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Within the block every cross-attend uses the backend ``name``; ``"auto"`` chooses by the problem. Holds for
    all threads.

    Raises:
        ValueError: if there is no such backend.
    """
    if name not in ("auto", *_BACKENDS):
        raise ValueError(f"backend must be 'auto' or one of {', '.join(_BACKENDS)}, got {name!r}")
    before = _selection["backend"]
    _selection["backend"] = name
    try:
        yield
    finally:
        _selection["backend"] = before


def attend(
    rows: Float[Tensor, "batch rows channels"], context: Context, *, eps: float = 1e-5
) -> tuple[Float[Tensor, "batch rows channels"], Float[Tensor, "batch rows"]]:
    """Attention of ``rows`` over the normalised tokens of one context.

    Args:
        rows: ``(batch, rows, context.num_channels)``, float32 or float64; all heads and latents are rows here.
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
    return _backend(rows, context).attend(rows, context, eps)


def cross_attend(
    queries: Float[Tensor, "batch latents inner"],
    contexts: Sequence[Context],
    *,
    key_weight: Float[Tensor, "inner channels"],
    value_weight: Float[Tensor, "inner channels"],
    norm_weight: Float[Tensor, " channels"] | None,
    norm_bias: Float[Tensor, " channels"] | None,
    heads: int = 1,
    eps: float = 1e-5,
) -> Float[Tensor, "batch latents inner"]:
    """Multi-head attention of queries over the tokens of all contexts together (one softmax).

    The same as concatenating every ``context.dense()``, LayerNorm with ``norm_weight`` and ``norm_bias``, projecting to
    keys and values, and scaled dot-product attention (Perceiver, section 3.1; release 1.4.0). Computed in float32 or
    wider, whatever the dtype of the queries.

    Args:
        queries: ``(batch, latents, heads * dim_head)`` projected queries.
        contexts: at least one context; all with the same batch and number of channels.
        key_weight, value_weight: ``(heads * dim_head, channels)``, as in ``nn.Linear``.
        norm_weight, norm_bias: ``(channels,)`` affine weights of the context's LayerNorm; None for none.
        heads: number of heads.
        eps: LayerNorm's epsilon.

    Returns:
        ``(batch, latents, heads * dim_head)`` in the dtype of the queries; zero for a sample whose tokens are all
        masked.

    Raises:
        ValueError: if there is no context or shapes differ.
    """
    if not contexts:
        raise ValueError("cross_attend needs at least one context")
    batch, num_latents, inner = queries.shape
    if inner != key_weight.shape[0]:
        raise ValueError(f"queries must be (batch, latents, {key_weight.shape[0]}), got {tuple(queries.shape)}")
    if inner % heads:
        raise ValueError(f"heads must divide the {inner} channels of the queries, got {heads}")
    channels, dim_head = key_weight.shape[1], inner // heads
    dtype = torch.promote_types(torch.promote_types(queries.dtype, key_weight.dtype), torch.float32)
    # Under autocast the folded weights would be rounded to half precision, which the scores then amplify.
    with full_precision(queries.device):
        query = queries.to(dtype).view(batch, num_latents, heads, dim_head) * dim_head**-0.5
        key = key_weight.to(dtype).view(heads, dim_head, channels)
        value = value_weight.to(dtype).view(heads, dim_head, channels)
        rows = torch.einsum("bnhd,hdc->bhnc", query, key)
        if norm_weight is not None:
            rows = rows * norm_weight.to(dtype)
        rows = rows.flatten(1, 2)  # (batch, heads * latents, channels)
        mixed, attended = _join([attend(rows, context, eps=eps) for context in contexts])
        if norm_weight is not None:
            mixed = mixed * norm_weight.to(dtype)
        if norm_bias is not None:
            mixed = mixed + norm_bias.to(dtype) * attended.unsqueeze(-1)
        mixed = mixed.view(batch, heads, num_latents, channels)
        output = torch.einsum("bhnc,hdc->bnhd", mixed, value)
    return output.reshape(batch, num_latents, inner).to(queries.dtype)


def _join(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Joins attention over disjoint sets of tokens; also tells, as 0 or 1, whether a row attended to anything."""
    lses = torch.stack([lse for _, lse in parts])
    peak = lses.detach().amax(dim=0)
    attended = (peak > float("-inf")).to(lses.dtype)
    if len(parts) == 1:
        return parts[0][0], attended
    shares = (lses - peak.masked_fill(peak == float("-inf"), 0.0)).exp()
    shares = shares / shares.sum(dim=0).clamp_min(torch.finfo(lses.dtype).tiny)
    mixed = sum(share.unsqueeze(-1) * part for share, (part, _) in zip(shares, parts, strict=True))
    assert isinstance(mixed, Tensor)
    return mixed, attended


def _backend(rows: Tensor, context: Context) -> ModuleType:
    """The selected backend's module, or the first that takes the problem."""
    selected = _selection["backend"]
    reasons = []
    for name in _BACKENDS if selected == "auto" else (selected,):
        reason = _BACKENDS[name].unsupported(rows, context)
        if reason is None:
            return _BACKENDS[name]
        reasons.append(f"{name}: {reason}")
    raise ValueError("no backend takes this cross-attend: " + "; ".join(reasons))
