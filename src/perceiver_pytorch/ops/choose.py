"""Which way every context of a cross-attend goes: what `use_backend` asks for, else the cheapest that takes it."""

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from perceiver_pytorch._execution import execution
from perceiver_pytorch._plugins import plugins
from perceiver_pytorch._waiting import waiting
from perceiver_pytorch.ops import cost, projected
from perceiver_pytorch.ops.backend import Backend, Rows
from perceiver_pytorch.ops.backends import BACKENDS
from perceiver_pytorch.ops.context import Context
from perceiver_pytorch.ops.cost import Counts

_registered: dict[str, Backend] = {}
_selection = {"backend": "auto"}  # a plain global: torch.compile guards on it, and cannot read a context variable


def _names() -> tuple[str, ...]:
    """All backends in order of preference; those of other packages are looked for at the first call."""
    if not _registered:
        _replace([*plugins("perceiver.backends"), *BACKENDS])
    return tuple(_registered)


# As torch.compiler.assume_constant_result does, which loads the compiler: a second for those who never compile.
_names._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _replace(backends: Sequence[Backend]) -> None:
    """Makes these all backends that there are, if they go together."""
    found = _by_name(backends)
    _registered.clear()
    _registered.update(found)


def _by_name(backends: Sequence[Backend]) -> dict[str, Backend]:
    """Backends by their names.

    Raises:
        TypeError: if one is no `Backend`.
        ValueError: if two have the same name, or one has a name that means something else.
    """
    found: dict[str, Backend] = {}
    for backend in backends:
        if not isinstance(backend, Backend):
            raise TypeError(f"an entry point of perceiver.backends must be a Backend, got {backend!r}")
        if backend.name in ("auto", projected.NAME, *found):
            raise ValueError(f"name of a backend must be its own, got {backend.name!r}, which is taken; rename it")
        found[backend.name] = backend
    return found


def backend_names() -> tuple[str, ...]:
    """Names that `use_backend` takes besides ``"auto"``; ``"projected"`` reads by keys and values."""
    return (*_names(), projected.NAME)


@contextlib.contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Within the block every cross-attend uses the backend ``name``; ``"auto"`` chooses by the problem. Holds for
    all threads. Where PyTorch has to see every operation (`torch.func`, export, gradients of gradients), a formula of
    PyTorch's own operations takes a backend's place.

    A backend that is asked for by name compiles its loops at their first call; ``"auto"`` leaves that to a thread, and
    computes by ``"chunked"`` until they are there.

    Raises:
        ValueError: if there is no such backend.
    """
    if name not in ("auto", *backend_names()):
        raise ValueError(f"backend must be 'auto' or one of {', '.join(backend_names())}, got {name!r}")
    before = _selection["backend"]
    _selection["backend"] = name
    try:
        with contextlib.nullcontext() if name == "auto" else waiting():
            yield
    finally:
        _selection["backend"] = before


@contextlib.contextmanager
def registered(backend: Backend) -> Iterator[None]:
    """Within the block there is one more backend, in front of the others: to try it, without a package to install.

    Raises:
        TypeError, ValueError: as for the backend of a package, see docs/extending/backend.md.
    """
    before = [_registered[name] for name in _names()]
    _replace([backend, *before])
    try:
        yield
    finally:
        _replace(before)


def costs() -> dict[str, Counts]:
    """What each way does for a context, by name."""
    return {name: _registered[name].counts for name in _names()} | {projected.NAME: projected.counts}


def plan(query: Tensor, contexts: Sequence[Context], key: Tensor, value: Tensor) -> list[Backend | None]:
    """The way of each context: a backend that attends by rows, or None for keys and values (see `projected`).

    Args:
        query: ``(batch, heads, latents, dim_head)``.
        contexts: what it attends to.
        key, value: ``(heads, dim_head, channels)`` weights.

    Raises:
        ValueError: if the selected backend does not take a context.
    """
    selected, (batch, heads, latents, dim_head) = _selection["backend"], query.shape
    is_wide = len(contexts) == 1 and projected.is_wide(contexts[0], heads * (dim_head + value.shape[1]))
    is_empty = not torch.compiler.is_compiling() and batch == 0  # a graph's size may be a symbol
    if selected == projected.NAME or is_empty or (selected == "auto" and (is_wide or _is_open(query, contexts))):
        return [None] * len(contexts)
    rows = Rows((batch, heads * latents, key.shape[2]), query.dtype, query.device)
    return [_way(rows, context, heads * dim_head) for context in contexts]


def _is_open(query: Tensor, contexts: Sequence[Context]) -> bool:
    """Whether PyTorch has to see every operation. Keys and values are then the shortest way, by its own kernels."""
    return execution(query, *(context.data for context in contexts)) in ("export", "transform")


def backend_for(rows: Tensor, context: Context) -> Backend:
    """The backend by which rows attend to a context, which keys and values cannot do.

    Raises:
        ValueError: if the selected backend does not take it.
    """
    backend = _way(Rows(tuple(rows.shape), rows.dtype, rows.device), context, None)
    assert backend is not None
    return backend


def _way(rows: Rows, context: Context, inner_dim: int | None) -> Backend | None:
    """The first way that takes a context; ``inner_dim`` is None where it may not be read by keys and values."""
    reasons = []
    for name in _in_order(rows, context, inner_dim):
        if name == projected.NAME:
            return None
        reason = _registered[name].unsupported(rows, context)
        if reason is None:
            return _registered[name]
        reasons.append(f"{name}: {reason}")
    raise ValueError("no backend takes this cross-attend: " + "; ".join(reasons))


def _in_order(rows: Rows, context: Context, inner_dim: int | None) -> tuple[str, ...]:
    """Names of ways, the one to be tried first in front; worked out once for all layers that read the context."""
    names, selected = _names(), _selection["backend"]
    if selected in names:
        return (selected,)
    # A compiled graph is to hold for other sizes too: there the choice is by name, as where no costs are known.
    if rows.device.type != "cpu" or torch.compiler.is_compiling() or 0 in context.data.shape:
        return names
    key = "ranking", rows.shape[1], inner_dim, torch.is_grad_enabled()
    if key not in context.derived:
        ways = costs()
        if inner_dim is None:
            del ways[projected.NAME]
        ranked = cost.ranking(ways, context, rows.shape[1], inner_dim or 0, training=torch.is_grad_enabled())
        context.derived[key] = ranked
    return context.derived[key]
