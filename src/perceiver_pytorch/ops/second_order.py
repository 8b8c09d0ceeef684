"""Gradients of gradients, and many gradients at once, for functions with a backward pass of their own."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def gradients(
    function: Callable[..., Tensor | tuple[Tensor, ...]],
    inputs: Sequence[Tensor | None],
    needed: Sequence[bool],
    grads: Sequence[Tensor],
) -> list[Tensor | None]:
    """What a backward pass gives, by way of a formula: where it is to be differentiated itself, or nothing else can.

    Args:
        function: the formula, made of differentiable operations of PyTorch.
        inputs: what it is called with, as autograd saved them.
        needed: which of them want a gradient.
        grads: the gradients of its outputs.

    Returns:
        For each input its gradient; where gradients are enabled, as within a pass that is to be differentiated, a
        function of ``inputs`` and ``grads``. None where there is none.
    """
    follow = torch.is_grad_enabled()
    with torch.enable_grad():
        # Aliases: an input may be made of another one, and what it does by that way is not asked for here.
        aliases = [
            _alias(x, follow) if x is not None and wanted else x for x, wanted in zip(inputs, needed, strict=True)
        ]
        asked = [x for x, wanted in zip(aliases, needed, strict=True) if x is not None and wanted]
        outputs = function(*aliases)
        found = iter(torch.autograd.grad(outputs, asked, grads, create_graph=follow, allow_unused=True))
    return [next(found) if x is not None and wanted else None for x, wanted in zip(inputs, needed, strict=True)]


def _alias(x: Tensor, follow: bool) -> Tensor:
    return x.view_as(x) if follow else x.detach().requires_grad_()


def are_many(*grads: Tensor | None) -> bool:
    """Whether gradients are many in one (``is_grads_batched``): they cannot be added in place to what is one."""
    return any(grad is not None and torch._C._functorch.is_legacy_batchedtensor(grad) for grad in grads)
