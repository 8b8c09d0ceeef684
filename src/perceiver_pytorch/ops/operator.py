"""How a backend's two functions become one operator of PyTorch: differentiable, and opaque to compile and export."""

from collections.abc import Callable, Sequence
from typing import Any, List, NamedTuple, Optional, Tuple  # noqa: UP035  (operator schemas are read from these)

import torch
from torch import Tensor

from perceiver_pytorch._execution import execution
from perceiver_pytorch.ops.context import Context
from perceiver_pytorch.ops.dense import attend_dense
from perceiver_pytorch.ops.precision import computed_in, full_precision
from perceiver_pytorch.ops.second_order import gradients


class Gradients(NamedTuple):
    """What a backward function gives; None or nothing for those not asked for."""

    rows: Tensor
    data: Tensor | None = None
    code: Tensor | None = None
    tables: Sequence[Tensor] = ()

    def each(self, num_tables: int) -> list[Tensor | None]:
        """Of rows, data, code and every table."""
        return [self.rows, self.data, self.code, *(self.tables or (None,) * num_tables)]


Forward = Callable[[Tensor, Context, float], tuple[Tensor, Tensor]]
"""``forward(rows, context, eps) -> (mixed, lse)``, see `perceiver_pytorch.ops.attend`."""

Backward = Callable[..., Gradients]
"""``backward(rows, context, eps, mixed, lse, grad_mixed, grad_lse, needs_data, needs_constants) -> Gradients``.

The constants are the code and the tables; where there is no code its gradient is empty.
"""


def define(name: str, forward: Forward, backward: Backward) -> Forward:
    """Registers ``perceiver_pytorch::attend_{name}`` and gives the function that calls it with a `Context`.

    Saved for the backward pass are the arguments and both outputs, nothing else. Where PyTorch has to see every
    operation, `attend_dense` computes the same.
    """
    operator = _forward_operator(name, forward)
    operator.register_autograd(_backward_of(_backward_operator(name, backward)), setup_context=_save)
    function = _function(forward, backward)

    def attend(rows: Tensor, context: Context, eps: float) -> tuple[Tensor, Tensor]:
        tensors = (rows, context.data, context.code, *context.tables)
        how = execution(*tensors)
        if how == "eager":
            return function.apply(context, eps, *tensors)
        if how != "graph":
            with full_precision(rows.device):
                return attend_dense(rows, context, eps)
        return operator(
            rows, context.data, list(context.tables), context.code, context.mask, context.scale, context.offset,
            context.padding, eps,
        )  # fmt: skip

    return attend


def _forward_operator(name: str, forward: Forward) -> Any:
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
        mixed = torch.empty_like(rows, dtype=computed_in(rows.dtype), memory_format=torch.contiguous_format)
        return mixed, mixed.new_empty(rows.shape[:-1])

    return operator


def _backward_operator(name: str, backward: Backward) -> Any:
    @torch.library.custom_op(f"perceiver_pytorch::attend_{name}_backward", mutates_args=())
    def operator(
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
            grads = backward(rows, context, eps, mixed, lse, grad_mixed, grad_lse, needs_data, needs_constants)
        # An empty tensor each for what was not asked for: the outputs of an operator may not be the same tensor.
        return [mixed.new_empty(0) if grad is None else grad for grad in grads.each(len(tables))]

    @operator.register_fake
    def _(  # type: ignore[no-untyped-def]
        grad_mixed, grad_lse, mixed, lse, rows, data, tables, code, mask, scale, offset, padding, eps, needs_data,
        needs_constants,
    ):  # fmt: skip
        return [
            torch.empty_like(rows, memory_format=torch.contiguous_format),
            data.new_empty(data.shape) if needs_data else mixed.new_empty(0),
            mixed.new_empty(code.shape if needs_constants and code is not None else (0,)),
            *(mixed.new_empty(table.shape if needs_constants else (0,)) for table in tables),
        ]

    return operator


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    rows, data, tables, code, mask, scale, offset, padding, eps = inputs
    ctx.save_for_backward(rows, data, code, mask, scale, offset, *output, *tables)
    ctx.constants = padding, eps
    ctx.dtypes = [table.dtype for table in tables]


def _backward_of(operator: Any) -> Callable[..., tuple[Any, ...]]:
    """What autograd calls for the forward operator."""

    def backward(ctx: Any, grad_mixed: Tensor, grad_lse: Tensor) -> tuple[Any, ...]:
        rows, data, code, mask, scale, offset, mixed, lse, *tables = ctx.saved_tensors
        needs = ctx.needs_input_grad
        needs_constants = bool(any(needs[2]) or needs[3])
        grad_rows, grad_data, grad_code, *grad_tables = operator(
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

    return backward


def _function(forward_of: Forward, backward_of: Backward) -> Any:
    """The same without the dispatcher in between, where nothing needs it."""

    class Attend(torch.autograd.Function):
        @staticmethod
        def forward(ctx, context, eps, rows, data, code, *tables):  # type: ignore[no-untyped-def]
            with full_precision(rows.device):
                mixed, lse = forward_of(rows, context, eps)
            ctx.save_for_backward(rows, data, code, context.mask, context.scale, context.offset, mixed, lse, *tables)
            ctx.constants = context.padding, eps, context.derived
            return mixed, lse

        @staticmethod
        def backward(ctx, grad_mixed, grad_lse):  # type: ignore[no-untyped-def]
            rows, data, code, mask, scale, offset, mixed, lse, *tables = ctx.saved_tensors
            padding, eps, derived = ctx.constants
            if torch.is_grad_enabled():  # gradients of gradients are asked for

                def dense(rows, data, code, *tables):  # type: ignore[no-untyped-def]
                    return attend_dense(rows, Context(data, tables, code, padding, mask, scale, offset), eps)

                with full_precision(rows.device):
                    inputs, needed = (rows, data, code, *tables), ctx.needs_input_grad[2:]
                    return None, None, *gradients(dense, inputs, needed, (grad_mixed, grad_lse))
            context = Context(data, tuple(tables), code, padding, mask, scale, offset)
            context.derived.update(derived)
            _, _, _, needs_data, *needs_constants = ctx.needs_input_grad
            needs = needs_data, any(needs_constants)
            with full_precision(rows.device):
                grads = backward_of(rows, context, eps, mixed, lse, grad_mixed, grad_lse, *needs).each(len(tables))
            pairs = zip(grads, ctx.needs_input_grad[2:], strict=True)
            return None, None, *(grad if needed else None for grad, needed in pairs)

    return Attend
