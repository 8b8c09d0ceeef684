"""Few and narrow latents with gradients: functions of autograd around compiled loops, see `ops.backends.latent_grads`.

Layers that share their weights share a `_Weights` within `sharing`, and so the sum of all that they add to gradients:
their backward passes leave behind what these are made of, and `_Join`, whose turn comes when all of them are done, sums
up each weight's once. Between the two goes a *token*, an output of `_Join` that holds nothing: its gradient is None
where loops compute, else that of all weights in one dimension, from operations of PyTorch.

While loops are not there, PyTorch computes the same within these functions. What is saved for the backward pass stays
the same meanwhile, so that checkpoints, which compute and save once more, find what they expect.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Variable

from perceiver_pytorch._execution import is_eager
from perceiver_pytorch.ops import latent_steps, threads
from perceiver_pytorch.ops.latent_steps import Plan, Shape
from perceiver_pytorch.ops.precision import full_precision
from perceiver_pytorch.ops.second_order import gradients

_ROWS = 128
"""Of a weight's gradient, that a thread takes at once."""


class _Places(NamedTuple):
    """Arrays of `latent_grads`: ``places``, the numbers of a sample's share, ``uses``, and ``jobs`` for which the
    tensor's index stands in place of its gradient's address."""

    places: np.ndarray
    share: int
    uses: np.ndarray
    jobs: np.ndarray


class _Weights:
    """The weights of a plan, and by the number of a backward pass what layers have left in it."""

    def __init__(self, plan: Plan, dim: int, tensors: Sequence[Tensor]) -> None:
        self.plan, self.dim, self.tensors = plan, dim, tensors
        self.versions = [tensor._version for tensor in tensors]
        self.left: dict[int, dict[int, list[Tensor]]] = {}

    def are_unchanged(self) -> bool:
        return all(tensor._version == before for tensor, before in zip(self.tensors, self.versions, strict=True))

    def places(self, num_latents: int) -> _Places:
        return _places(self.plan.shapes, self.dim, num_latents, tuple(t.requires_grad for t in self.tensors))

    def leave(self, num_latents: int, work: Tensor) -> None:
        """Keeps ``work`` until this backward pass ends, if nobody takes it."""
        number = torch._C._current_graph_task_id()
        if number not in self.left:
            self.left[number] = {}
            Variable._execution_engine.queue_callback(partial(self._drop, number))
        self.left[number].setdefault(num_latents, []).append(work)

    def _drop(self, number: int) -> None:
        self.left.pop(number, None)

    def take(self) -> dict[int, list[Tensor]]:
        """What was left in this backward pass, by the number of latents."""
        return self.left.pop(torch._C._current_graph_task_id(), {})


class _Shared(threading.local):
    """The weights of this thread's layers within `sharing`, and their token."""

    known: dict[tuple[Any, ...], tuple[_Weights, Tensor]] | None = None


_shared = _Shared()


def sharing() -> AbstractContextManager[None]:
    """Within the block layers with the same weights sum up their gradients together."""
    if torch.compiler.is_compiling() or not torch.is_grad_enabled() or _shared.known is not None:
        return nullcontext()
    return _sharing()


@contextmanager
def _sharing() -> Iterator[None]:
    _shared.known = {}
    try:
        yield
    finally:
        _shared.known = None


def through(
    x: Float[Tensor, "batch latents dim"], plan: Plan, tensors: Sequence[Tensor]
) -> Float[Tensor, "batch latents dim"]:
    """See `ops.latents.through`."""
    known = {} if _shared.known is None else _shared.known
    key = plan, *map(id, tensors)
    if key not in known or not known[key][0].are_unchanged():
        weights = _Weights(plan, x.shape[-1], tensors)
        known[key] = weights, _Join.apply(weights, *tensors)
    out: Tensor = _Through.apply(known[key][0], x, known[key][1])
    return out


class _Join(torch.autograd.Function):
    """From weights to their token."""

    @staticmethod
    def forward(ctx: Any, weights: _Weights, *tensors: Tensor) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.weights = weights
        return tensors[0].new_zeros(()).expand(sum(tensor.numel() for tensor in tensors))

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, ...]:
        weights, needed = ctx.weights, ctx.needs_input_grad[1:]
        found: list[Tensor | None] = [None] * len(needed)
        if grad is not None:
            parts = grad.split([tensor.numel() for tensor in weights.tensors])
            found = [part.view(tensor.shape).clone() for part, tensor in zip(parts, weights.tensors, strict=True)]
        for num_latents, works in weights.take().items():
            found = [*map(_plus, found, _sums(weights, num_latents, works))]
        return None, *(one if wanted else None for one, wanted in zip(found, needed, strict=True))


class _Through(torch.autograd.Function):
    """Latents through the parts."""

    @staticmethod
    def forward(ctx: Any, weights: _Weights, x: Tensor, token: Tensor) -> Tensor:
        plan, tensors = weights.plan, weights.tensors
        states = x.new_empty(len(plan.shapes), *x.shape)
        out = latent_steps.forward(x, plan, tensors, states)
        if out is None:
            with threads.single_threaded():
                out, begun = latent_steps.computed(x, plan, tensors)
                torch.stack(begun, out=states)
        ctx.weights = weights
        ctx.save_for_backward(x, states)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weights: _Weights = ctx.weights
        x, states = ctx.saved_tensors
        _, needs_x, needs_weights = ctx.needs_input_grad
        if not weights.are_unchanged():
            raise RuntimeError("weights of latent blocks were changed in place between a forward and its backward pass")
        # Whoever sets `data` of a weight since may have changed its dtype or its strides.
        is_first_order = not torch.is_grad_enabled() and torch._C._current_graph_task_id() >= 0
        if is_first_order and _is_one(grad) and latent_steps.can_be_read(weights.tensors):
            grad_x = _backward(weights, grad.contiguous(), states, leave=needs_weights)
            if grad_x is not None:
                return None, grad_x if needs_x else None, None
        # Gradients of gradients are asked for, or loops are not there.
        needed = needs_x, *(needs_weights and tensor.requires_grad for tensor in weights.tensors)
        with threads.single_threaded(), full_precision(x.device):
            grad_x, *others = gradients(
                lambda x, *tensors: latent_steps.computed(x, weights.plan, tensors)[0],
                (x, *weights.tensors), needed, (grad,),
            )  # fmt: skip
        pairs = zip(others, weights.tensors, strict=True)
        flat = [tensor.new_zeros(tensor.numel()) if one is None else one.reshape(-1) for one, tensor in pairs]
        return None, grad_x, torch.cat(flat) if needs_weights else None


def _is_one(grad: Tensor) -> bool:
    """Whether a gradient has values, and is not many in one (``is_grads_batched``), which has no storage."""
    try:
        grad.untyped_storage()
    except NotImplementedError:
        return False
    return is_eager(grad)


def _backward(weights: _Weights, grad: Tensor, states: Tensor, *, leave: bool) -> Tensor | None:
    """Gradient of the latents, by a loop; None if loops are not compiled (yet)."""
    if latent_steps.failures:
        return None
    from perceiver_pytorch.ops.backends import latent_grads

    batch, num_latents, _ = grad.shape
    tile, pair = latent_steps.widths(num_latents)
    places = weights.places(num_latents)
    out, work = torch.empty_like(grad), grad.new_empty(batch, places.share)
    steps = latent_steps.steps(weights.plan, weights.tensors)
    arguments = grad.numpy(), out.numpy(), states.numpy(), *steps, places.places, work.numpy(), tile, pair
    sums = places.jobs, places.uses, places.jobs[:, 0], num_latents, tile
    are_compiled = [
        latent_steps.is_compiled(("gradients of latents", pair), "latent_grads.backward", arguments, behind=True),
        latent_steps.is_compiled("gradients of latents' weights", "latent_weights.weights", sums, behind=True),
    ]
    if not all(are_compiled):
        return None
    room = latent_grads.room(grad.shape[2], num_latents, latent_steps.widest(weights.plan))
    threads.run(latent_grads.backward, *arguments, num_parts=batch, room=room)
    if leave:
        weights.leave(num_latents, work)
    return out


def _sums(weights: _Weights, num_latents: int, works: Sequence[Tensor]) -> list[Tensor | None]:
    """Gradients of weights, of what layers with as many latents left, by a loop."""
    from perceiver_pytorch.ops.backends import latent_weights

    places = weights.places(num_latents)
    sums = [
        torch.empty(tensor.shape, dtype=torch.float32) if tensor.requires_grad else None for tensor in weights.tensors
    ]
    addresses = np.array([0 if one is None else one.data_ptr() for one in sums], np.int64)
    jobs = places.jobs.copy()
    jobs[:, 0] = addresses[jobs[:, 0]]
    shares = np.array([share.data_ptr() for work in works for share in work], np.int64)
    tile, _ = latent_steps.widths(num_latents)
    arguments = jobs, places.uses, shares, num_latents, tile
    threads.run(latent_weights.weights, *arguments, num_parts=len(jobs), room=latent_weights.room(tile))
    return sums


def _plus(one: Tensor | None, more: Tensor | None) -> Tensor | None:
    return more if one is None else one if more is None else one + more


@cache
def _places(shapes: tuple[Shape, ...], dim: int, num_latents: int, needed: tuple[bool, ...]) -> _Places:
    from perceiver_pytorch.ops.backends import simd

    def whole(number: int) -> int:
        """In whole vectors."""
        return -(-number // simd.WIDTH) * simd.WIDTH

    lanes = whole(num_latents)
    places: list[tuple[int, ...]] = []
    uses: list[list[list[int]]] = [[] for _ in needed]
    sizes = [(0, 0)] * len(needed)
    at = 0
    for kind, _, width, _, indices in shapes:
        rows = 2 * width if kind == "geglu" else width
        all_rows = 3 * width if kind == "attention" else rows
        wide, out = at, at + all_rows * lanes
        normal = out + dim * lanes
        inside = normal + num_latents * whole(dim)
        sums = inside + num_latents * whole(width)
        at = sums + whole(3 * dim + rows)
        places.append((wide, out, normal, inside, sums))
        # In the order of `LatentPart.tensors`: rows, columns, and what their gradient is the sum of.
        what = [
            (dim, 0, sums, 0), (dim, 0, sums + dim, 0), (rows, dim, wide, normal), (rows, 0, sums + 3 * dim, 0),
            (2 * width, dim, wide + width * lanes, normal), (dim, width, out, inside), (dim, 0, sums + 2 * dim, 0),
        ]  # fmt: skip
        for index, (num_rows, columns, *use) in zip(indices, what, strict=True):
            if index >= 0:
                sizes[index] = num_rows, columns
                uses[index].append(use)
    jobs, begin = [], 0
    for index, (num_rows, columns) in enumerate(sizes):
        end = begin + len(uses[index])
        for row in range(0, num_rows, _ROWS if columns else num_rows) if needed[index] else ():
            stop = min(row + _ROWS, num_rows) if columns else num_rows
            jobs.append((index, row, stop, columns, begin, end))
        begin = end
    jobs.sort(key=lambda job: (job[1] - job[2]) * job[3])  # the longest first
    in_order = np.array([*chain.from_iterable(uses)], np.int64)
    return _Places(np.array(places, np.int64), at, in_order, np.array(jobs, np.int64).reshape(-1, 6))
