"""Linear maps by oneDNN against float64, and where PyTorch's own have to do."""

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import forward_ad

from perceiver_pytorch.ops import linear as module
from perceiver_pytorch.ops.linear import FEWEST_OPERATIONS, linear, product, product_times, takes

pytestmark = pytest.mark.skipif(not module._available(), reason="PyTorch has no oneDNN here")

LARGE = (3, 96, 384, 512)  # samples, tokens, channels in, channels out
assert LARGE[0] * LARGE[1] * LARGE[2] * LARGE[3] >= FEWEST_OPERATIONS


def arguments(dtype: torch.dtype = torch.float32, requires_grad: bool = False) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    batch, tokens, inner, outer = LARGE
    shapes = ((batch, tokens, inner), (outer, inner), (outer,))
    given = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return tuple(values.float().to(dtype).requires_grad_(requires_grad) for values in given)


def error(result: torch.Tensor, exact: torch.Tensor) -> float:
    return ((result.double() - exact).abs().max() / exact.abs().max()).item()


@pytest.mark.parametrize("with_bias", [True, False])
def test_outputs_and_gradients_are_as_exact_as_pytorchs(with_bias: bool) -> None:
    def run(function, dtype):  # type: ignore[no-untyped-def]
        x, weight, bias = arguments(dtype, requires_grad=True)
        given = (x, weight, bias if with_bias else None)
        out = function(*given)
        return out, *torch.autograd.grad(out.cos().sum(), [t for t in given if t is not None])

    assert takes(*arguments())
    exact = run(F.linear, torch.float64)
    ours, plain = run(linear, torch.float32), run(F.linear, torch.float32)
    for result, baseline, expected in zip(ours, plain, exact, strict=True):
        assert error(result, expected) <= 2 * error(baseline, expected)


@torch.no_grad()
def test_activation_and_factor_inside_the_product() -> None:
    x, weight, bias = arguments()
    exact = F.linear(*(t.double() for t in (x, weight, bias)))
    plain = F.gelu(F.linear(x, weight, bias))
    assert error(product(x, weight, bias, "gelu"), F.gelu(exact)) <= 2 * error(plain, F.gelu(exact))
    factor = torch.randn_like(plain)
    by_factor, expected = product_times(factor, x, weight, bias), exact * factor
    assert error(by_factor, expected) <= 2 * error(F.linear(x, weight, bias) * factor, expected)


def test_gradients_of_gradients() -> None:
    def run(function):  # type: ignore[no-untyped-def]
        x, weight, bias = arguments(requires_grad=True)
        (grad,) = torch.autograd.grad(function(x, weight, bias).square().mean(), x, create_graph=True)
        return torch.autograd.grad(grad.square().sum(), weight)[0]

    torch.testing.assert_close(run(linear), run(F.linear), rtol=1e-4, atol=1e-7)


def test_input_of_any_strides() -> None:
    x, weight, bias = arguments()
    expected = F.linear(x, weight, bias)
    strided = x.transpose(0, 1).contiguous().transpose(0, 1)
    torch.testing.assert_close(linear(strided, weight, bias), expected, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(linear(x, weight.mT.contiguous().mT, bias), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # torch.func imports it
def test_leaves_to_pytorch_what_it_does_better_or_alone() -> None:
    x, weight, bias = arguments()
    assert not takes(x[:, :1], weight, bias)  # small
    assert not takes(x.double(), weight.double(), bias.double())
    assert not takes(x.to("meta"), weight.to("meta"), bias.to("meta"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert linear(x, weight, bias).dtype == torch.bfloat16
    with torch.autocast("cpu", dtype=torch.float16):
        assert not takes(x, weight, bias)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, torch.ones_like(x))
        assert forward_ad.unpack_dual(linear(dual, weight, bias)).tangent is not None
    stacked = torch.func.vmap(lambda sample: linear(sample, weight, bias))(x)
    torch.testing.assert_close(stacked, F.linear(x, weight, bias), rtol=1e-5, atol=1e-4)


def test_a_wrong_shape_has_pytorchs_error() -> None:
    x, weight, bias = arguments()
    with pytest.raises(RuntimeError, match="shapes"):
        linear(x, weight[:, :-1], bias)
