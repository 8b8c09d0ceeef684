"""Context: what its tokens are, and what it refuses."""

from dataclasses import replace

import pytest
import torch

from ops.problems import Problem, Spec, dense_tokens
from perceiver_pytorch.ops import Context

SPECS = {
    "series": Spec((5,)),
    "image, masked": Spec((3, 4), mask="random"),
    "video, per-sample times": Spec((2, 3, 2), per_sample=True),
    "scaled pixels": Spec((3, 4), dtype=torch.uint8, values=lambda data: data.abs() * 50, affine=True),
    "no tables": Spec((3, 4), features=None),
    "no code": Spec((3, 4), code=0),
    "channels in an order of their own": Spec((3, 4), ordered=True),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_dense_lists_data_padding_positions_and_code_of_every_token(spec: Spec) -> None:
    (context,) = Problem.of(spec, extra_padding=2).contexts
    dense = context.dense(torch.float64)
    expected = dense_tokens(replace(context, mask=None), torch.float64)
    assert torch.equal(dense, expected)
    assert dense.shape == (2, context.num_tokens, context.num_channels)


def test_dense_is_float32_or_wider() -> None:
    for given, expected in (
        (torch.uint8, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ):
        assert Context(torch.zeros(1, 2, 3, dtype=given)).dense().dtype == expected
    assert Context(torch.zeros(1, 2, 3)).dense(torch.float64).dtype == torch.float64


def test_sizes_are_counted() -> None:
    context = Context(
        torch.zeros(2, 3, 4, 5),
        (torch.zeros(3, 6), torch.zeros(2, 4, 7)),
        torch.zeros(8),
        padding=9,
    )
    assert context.axes == (3, 4)
    assert context.num_tokens == 12
    assert context.num_channels == 5 + 6 + 7 + 8 + 9


@pytest.mark.usefixtures("user_view")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": torch.zeros(2, 3), "tables": ()}, r"data must be \(batch, \*axes, channels\).*got \(2, 3\)"),
        ({"tables": (torch.zeros(3, 6),)}, "one table per axis is needed: 2 axes, 1 tables"),
        ({"tables": (torch.zeros(3, 6), torch.zeros(5, 6))}, r"table of axis 1 must be \(4, features\).*got \(5, 6\)"),
        (
            {"tables": (torch.zeros(3, 3, 6), torch.zeros(4, 6))},
            r"axis 0 must be .*\(2, 3, features\), got \(3, 3, 6\)",
        ),
        ({"tables": (torch.zeros(3), torch.zeros(4, 6))}, "table of axis 0"),
        ({"mask": torch.ones(2, 12, dtype=torch.bool)}, r"mask must be \(2, 3, 4\), got \(2, 12\)"),
        ({"mask": torch.ones(2, 3, 4)}, "mask must be bool.*float32"),
        ({"scale": torch.ones(1)}, r"scale must have one value per data channel \(5\), got \(1,\)"),
        ({"offset": torch.ones(2, 5)}, r"offset must have one value.*got \(2, 5\)"),
        ({"scale": torch.ones(5, requires_grad=True)}, "scale is a constant and gets no gradient"),
        ({"code": torch.zeros(2, 3)}, r"code must be \(channels,\), got \(2, 3\)"),
        ({"order": torch.arange(16)}, r"order must name each of the 17 channels once, got \(16,\)"),
        ({"padding": -1}, "padding must be at least 0, got -1"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict, message: str) -> None:
    fitting = {"data": torch.zeros(2, 3, 4, 5), "tables": (torch.zeros(3, 6), torch.zeros(4, 6))}
    Context(**fitting)
    with pytest.raises((ValueError, TypeError), match=message):
        Context(**{**fitting, **changes})


def test_channels_are_put_in_the_order_of_the_parts_once() -> None:
    (context,) = Problem.of(Spec((3, 4), mask="random", affine=True, ordered=True), extra_padding=2).contexts
    parts = context.in_parts_order()
    assert context.in_parts_order() is parts
    assert parts.in_parts_order() is parts
    for name in ("data", "tables", "code", "padding", "mask", "scale", "offset"):
        assert getattr(parts, name) is getattr(context, name)
    assert torch.equal(parts.dense(), context.dense()[..., context.order])


def test_context_is_an_immutable_value_compared_by_identity() -> None:
    context = Context(torch.zeros(1, 2, 3))
    assert len({context, context, Context(torch.zeros(1, 2, 3))}) == 2
    with pytest.raises(AttributeError):
        context.padding = 1
