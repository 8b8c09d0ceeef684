"""The rows of a step, computed in several threads.

PyTorch lets all threads work on every operation, and waits for the last of them. Most operations of a step are too
short for that, and where another program has one of the cores, each wait may take longer than the operation. So a
thread takes some of the rows through the whole model, forward and backward, and waits for the others once. Cores that
are left, of few rows for instance, share the operations of these threads.
"""

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from perceiver_pytorch.nn.processes import are_shared
from perceiver_pytorch.nn.randomness import Share, current_share, sharing
from perceiver_pytorch.ops.threads import keep_to
from perceiver_pytorch.training.cores import shared_out
from perceiver_pytorch.training.run.accelerator import own_cores
from perceiver_pytorch.training.run.sharding import is_sharded, reached, with_weights

Outputs = tuple[Tensor, ...]
Compute = Callable[[slice], Outputs]


def by_rows(compute: Compute, rows: int, tokens: int, model: nn.Module) -> Outputs:
    """``compute(slice(0, rows))``, computed on parts of the rows at once, on the CPU.

    Random numbers are those of the whole batch, as far as they come from `perceiver_pytorch.nn.randomness`. Where ranks
    share the weights there are no parts: all rows go through the model at once.

    Args:
        compute: from rows to tensors, whose first axis they are.
        rows: how many there are.
        tokens: how many they have in all, about.
        model: what computes. Its parameters get the gradients of the results, where PyTorch records any.
    """
    if is_sharded(model):  # its parts gather their weights one after another
        return with_weights(model, lambda: compute(slice(0, rows)))
    if shared_out(sys.maxsize, rows, tokens, model) == (1, 1):  # to ask for cores would take longer than to do without
        return compute(slice(0, rows))
    cores = own_cores()
    threads, each = shared_out(cores, rows, tokens, model)
    if threads > 1 and _reads_whole_batch(model):
        threads, each = shared_out(cores, rows, tokens, model, together=True)
    if threads == 1 and each <= torch.get_num_threads():
        return compute(slice(0, rows))
    parameters = list(model.parameters())
    if any(p.device.type != "cpu" for p in parameters):
        return compute(slice(0, rows))
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    bounds = [rows * i // threads for i in range(threads + 1)]
    parts = [slice(*pair) for pair in pairwise(bounds)]
    found = _computed(compute, parts, each)
    if trained and torch.is_grad_enabled():
        return _Apart.apply(found, parts, each, *(_reached(found, trained) if are_shared() else trained))
    return _joined(found)


def _reads_whole_batch(model: nn.Module) -> bool:
    """Whether a row's result, or what the model takes note of, depends on the other rows.

    Modules from elsewhere that have buffers may write to them, as norms over batches do.
    """
    return any(
        getattr(part, "reads_whole_batch", False)
        or (part.training and part._buffers and type(part).__module__.partition(".")[0] != "perceiver_pytorch")
        for part in model.modules()
    )


class _Apart(torch.autograd.Function):
    """Every part's graph stays its own, and its thread goes back through it."""

    @staticmethod
    def forward(ctx: Any, found: Sequence[Outputs], parts: Sequence[slice], each: int, *parameters: Tensor) -> Outputs:
        ctx.found, ctx.parts, ctx.each, ctx.parameters = found, parts, each, parameters
        joined = _joined([tuple(output.detach() for output in outputs) for outputs in found])
        ctx.mark_non_differentiable(*(output for output in joined if not output.is_floating_point()))
        return joined

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        found, ctx.found = ctx.found, None

        def back(number: int) -> Sequence[Tensor | None]:
            pairs = zip(found[number], gradients, strict=True)
            used = [(output, given[ctx.parts[number]]) for output, given in pairs if output.requires_grad]
            if not used:  # these rows reach no parameter that is trained
                return [None] * len(ctx.parameters)
            outputs, given = zip(*used, strict=True)
            return torch.autograd.grad(outputs, ctx.parameters, given, allow_unused=True)

        gone_through = _in_threads(back, range(len(found)), ctx.each)
        return None, None, None, *(_total(of_one) for of_one in zip(*gone_through, strict=True))


def _reached(found: Sequence[Outputs], parameters: Sequence[Tensor]) -> list[Tensor]:
    """The parameters that results depend on. DistributedDataParallel waits for the gradients of all that it sees in a
    graph, and a modality may be missing from these rows."""
    known = {id(leaf) for leaf in reached([output for outputs in found for output in outputs])}
    return [parameter for parameter in parameters if id(parameter) in known]


def _total(gradients: Sequence[Tensor | None]) -> Tensor | None:
    """In the order of the rows, so that the last bit does not depend on which thread was first."""
    there = [gradient for gradient in gradients if gradient is not None]
    return sum(there[1:], start=there[0]) if there else None


def _joined(found: Sequence[Outputs]) -> Outputs:
    return tuple(torch.cat(outputs) for outputs in zip(*found, strict=True))


def _computed(compute: Compute, parts: Sequence[slice], each: int) -> list[Outputs]:
    """The results of all parts, in this thread's modes; its generator is then where one batch would have left it."""
    cast = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")
    recorded, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    shares: list[Share | None] = [current_share()]
    if len(parts) > 1:
        whole, state = shares[0] or Share(0, parts[-1].stop, parts[-1].stop), torch.get_rng_state()
        generators = [torch.Generator().set_state(state) for _ in parts]
        shares = [whole.part(rows, generator) for rows, generator in zip(parts, generators, strict=True)]

    def part(number: int) -> Outputs:
        with ExitStack() as modes:
            modes.enter_context(torch.inference_mode(inference))
            modes.enter_context(torch.set_grad_enabled(recorded))
            modes.enter_context(torch.autocast("cpu", enabled=cast[0], dtype=cast[1]))
            modes.enter_context(sharing(shares[number]))
            return compute(parts[number])

    found = _in_threads(part, range(len(parts)), each)
    if len(parts) > 1 and not torch.equal(drawn := generators[0].get_state(), state):
        torch.set_rng_state(drawn)  # else it stays where dropout from elsewhere left it
    return found


def _in_threads(work: Callable[[int], Any], numbers: Sequence[int], each: int) -> list[Any]:
    """The results of all, or the first error once all have ended; operations are shared among ``each`` threads."""

    def do(number: int) -> Any:
        keep_to(each)
        return work(number)

    running = [_pool(len(numbers)).submit(do, number) for number in numbers]
    errors = [error for one in running if (error := one.exception()) is not None]
    if errors:
        raise errors[0]
    return [one.result() for one in running]


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="perceiver-rows")


if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads; Windows has no fork
    os.register_at_fork(after_in_child=_pool.cache_clear)
