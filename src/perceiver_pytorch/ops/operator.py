"""How a backend's two functions become one operator of PyTorch: differentiable, and opaque to compile and export."""

from collections.abc import Callable
from typing import List, Optional, Tuple  # noqa: UP035  (the operator schema is read from these)

import torch
from torch import Tensor
from torch.autograd import forward_ad

from perceiver_pytorch.ops.context import Context
from perceiver_pytorch.ops.precision import full_precision

Forward = Callable[[Tensor, Context, float], tuple[Tensor, Tensor]]
"""``forward(rows, context, eps) -> (mixed, lse)``, see `perceiver_pytorch.ops.attend`."""

Backward = Callable[..., list[Tensor]]
"""``backward(rows, context, eps, mixed, lse, grad_mixed, grad_lse, needs_data, needs_constants)``.

Gives the gradients of rows, data, code and each table in this order; empty tensors for those not asked for.
"""


_PLAIN = (Tensor, torch.nn.Parameter)


def define(
    name: str, forward: Forward, backward: Backward
) -> Callable[[Tensor, Context, float], tuple[Tensor, Tensor]]:
    """Registers ``perceiver_pytorch::attend_{name}`` and gives the function that calls it with a `Context`.

    Saved for the backward pass are the arguments and both outputs, nothing else.
    """

    @torch.library.custom_op(f"perceiver_pytorch::attend_{name}", mutates_args=())
    def operator(
        rows: Tensor,
        data: Tensor,
        tables: List[Tensor],  # noqa: UP006
        code: Optional[Tensor],  # noqa: UP045
        mask: Optional[Tensor],  # noqa: UP045
        scale: Optional[Tensor],  # noqa: UP045
        offset: Optional[Tensor],  # noqa: UP045
        padding: int,
        eps: float,
    ) -> Tuple[Tensor, Tensor]:  # noqa: UP006
        with full_precision(rows.device):
            return forward(rows, Context(data, tuple(tables), code, padding, mask, scale, offset), eps)

    @operator.register_fake
    def _(rows, data, tables, code, mask, scale, offset, padding, eps):  # type: ignore[no-untyped-def]
        return torch.empty_like(rows, memory_format=torch.contiguous_format), rows.new_empty(rows.shape[:-1])

    @torch.library.custom_op(f"perceiver_pytorch::attend_{name}_backward", mutates_args=())
    def backward_operator(
        grad_mixed: Tensor,
        grad_lse: Tensor,
        mixed: Tensor,
        lse: Tensor,
        rows: Tensor,
        data: Tensor,
        tables: List[Tensor],  # noqa: UP006
        code: Optional[Tensor],  # noqa: UP045
        mask: Optional[Tensor],  # noqa: UP045
        scale: Optional[Tensor],  # noqa: UP045
        offset: Optional[Tensor],  # noqa: UP045
        padding: int,
        eps: float,
        needs_data: bool,
        needs_constants: bool,
    ) -> List[Tensor]:  # noqa: UP006
        context = Context(data, tuple(tables), code, padding, mask, scale, offset)
        with full_precision(rows.device):
            return backward(rows, context, eps, mixed, lse, grad_mixed, grad_lse, needs_data, needs_constants)

    @backward_operator.register_fake
    def _(  # type: ignore[no-untyped-def]
        grad_mixed, grad_lse, mixed, lse, rows, data, tables, code, mask, scale, offset, padding, eps, needs_data,
        needs_constants,
    ):  # fmt: skip
        return [
            torch.empty_like(rows, memory_format=torch.contiguous_format),
            data.new_empty(data.shape) if needs_data else rows.new_empty(0),
            rows.new_empty(code.shape if needs_constants and code is not None else (0,)),
            *(rows.new_empty(table.shape if needs_constants else (0,)) for table in tables),
        ]

    def setup_context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
        rows, data, tables, code, mask, scale, offset, padding, eps = inputs
        ctx.save_for_backward(rows, data, code, mask, scale, offset, *output, *tables)
        ctx.constants = padding, eps
        ctx.dtypes = [table.dtype for table in tables]

    def autograd_backward(ctx, grad_mixed, grad_lse):  # type: ignore[no-untyped-def]
        rows, data, code, mask, scale, offset, mixed, lse, *tables = ctx.saved_tensors
        needs = ctx.needs_input_grad
        needs_constants = bool(any(needs[2]) or needs[3])
        grad_rows, grad_data, grad_code, *grad_tables = backward_operator(
            grad_mixed.contiguous(), grad_lse.contiguous(), mixed, lse, rows, data, list(tables), code, mask, scale,
            offset, *ctx.constants, bool(needs[1]), needs_constants,
        )  # fmt: skip
        tables_grads = zip(grad_tables, ctx.dtypes, needs[2], strict=True)
        return (
            grad_rows,
            grad_data if needs[1] else None,
            [grad.to(dtype) if needed else None for grad, dtype, needed in tables_grads],
            grad_code.to(code.dtype) if needs[3] else None,
            *[None] * 5,
        )

    operator.register_autograd(autograd_backward, setup_context=setup_context)

    class Attend(torch.autograd.Function):
        """The same without the dispatcher in between, where nothing needs it."""

        @staticmethod
        def forward(ctx, context, eps, rows, data, code, *tables):  # type: ignore[no-untyped-def]
            with full_precision(rows.device):
                mixed, lse = forward(rows, context, eps)
            ctx.save_for_backward(rows, data, code, context.mask, context.scale, context.offset, mixed, lse, *tables)
            ctx.constants = context.padding, eps, context.derived
            return mixed, lse

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, grad_mixed, grad_lse):  # type: ignore[no-untyped-def]
            rows, data, code, mask, scale, offset, mixed, lse, *tables = ctx.saved_tensors
            padding, eps, derived = ctx.constants
            context = Context(data, tuple(tables), code, padding, mask, scale, offset)
            context.derived.update(derived)
            _, _, _, needs_data, *needs_constants = ctx.needs_input_grad
            with full_precision(rows.device):
                grads = backward(rows, context, eps, mixed, lse, grad_mixed, grad_lse, needs_data, any(needs_constants))
            return (
                None,
                None,
                *(grad if needed else None for grad, needed in zip(grads, ctx.needs_input_grad[2:], strict=True)),
            )

    def attend(rows: Tensor, context: Context, eps: float) -> tuple[Tensor, Tensor]:
        """See `perceiver_pytorch.ops.attend`."""
        tensors = (rows, context.data, context.code, *context.tables)
        if not torch.compiler.is_compiling() and all(
            t is None or (type(t) in _PLAIN and not t.is_meta) for t in tensors
        ):
            return Attend.apply(context, eps, *tensors)
        return operator(
            rows, context.data, list(context.tables), context.code, context.mask, context.scale, context.offset,
            context.padding, eps,
        )  # fmt: skip

    return attend


def no_forward_mode(rows: Tensor, context: Context) -> str | None:
    """The reason why an operator cannot take a problem in forward-mode differentiation: it would answer zero."""
    if torch.compiler.is_compiling():
        return None
    given = (rows, context.data, context.code, *context.tables)
    if any(tensor is not None and forward_ad.unpack_dual(tensor).tangent is not None for tensor in given):
        return "it has no forward-mode derivative"
    return None
