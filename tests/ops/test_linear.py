"""Linear maps by oneDNN against float64, and where PyTorch's own have to do."""

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import forward_ad

from perceiver_pytorch.ops import linear as module
from perceiver_pytorch.ops.linear import (
    FEWEST_OPERATIONS,
    as_autocast,
    casting_once,
    linear,
    needs_gradients,
    product,
    product_times,
    takes,
)

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


def test_takes_large_layers_of_its_dtypes_and_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    def sized(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.zeros(1, dtype=dtype).expand(shape)

    single, half = torch.float32, torch.bfloat16
    assert FEWEST_OPERATIONS == 2**25
    assert takes(sized(2**7, 2**9), sized(2**9, 2**9), None)
    assert not takes(sized(2**7, 2**9), sized(2**9 - 1, 2**9), None)
    large, weight = sized(2**8, 2**9), sized(2**9, 2**9)
    assert takes(sized(2, 2**7, 2**9), weight, sized(2**9))
    assert not takes(sized(2**16), sized(2**9, 2**16), None)  # F.linear knows vectors, oneDNN does not
    assert not takes(large, weight.unsqueeze(0), None)
    assert not takes(large, sized(2**9, 2**8), None)
    assert not takes(large, weight, sized(2**9, dtype=half))
    for bfloat16 in (True, False):
        monkeypatch.setattr(module, "_bfloat16", lambda bfloat16=bfloat16: bfloat16)
        assert takes(large.to(half), weight.to(half), None) is bfloat16
        assert not takes(large.to(half), weight, None)
        assert not takes(large.half(), weight.half(), None)
        assert takes(large, weight, None)
        with torch.autocast("cpu", dtype=half):
            assert takes(large, weight.to(half), None) is bfloat16
            assert not takes(large.double(), weight.double(), None)
    monkeypatch.setattr(module, "_available", lambda: False)
    assert not takes(large, weight, None)
    monkeypatch.undo()
    monkeypatch.setattr(module, "_X86", False)
    assert not takes(large, weight, None)
    monkeypatch.undo()
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert not takes(large, weight.to(single), None)


def test_autocast_and_gradients_are_asked_for() -> None:
    plain, wanted = torch.ones(2), torch.ones(2, requires_grad=True)
    assert as_autocast(plain, wanted) == (plain, wanted)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert [t.dtype for t in as_autocast(plain, wanted)] == [torch.bfloat16] * 2
    assert needs_gradients(plain, None, wanted)
    assert not needs_gradients(plain, None)
    with torch.no_grad():
        assert not needs_gradients(wanted)


def test_autocast_leaves_other_dtypes_and_devices_alone() -> None:
    given = (torch.ones(2, dtype=torch.float64), torch.ones(2, dtype=torch.int64), torch.ones(2, device="meta"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert all(cast is values for cast, values in zip(as_autocast(*given), given, strict=True))


def test_a_weight_is_cast_once_within_a_block_without_gradients() -> None:
    weight, other = torch.nn.Parameter(torch.ones(2)), torch.ones(2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with torch.no_grad():
            with casting_once():
                (first,) = as_autocast(weight)
                with casting_once():
                    assert as_autocast(weight)[0] is first
                    assert as_autocast(other)[0] is not as_autocast(other)[0]  # it may be anything, and change
                    with torch.autocast("cpu", dtype=torch.float16):
                        assert as_autocast(weight)[0].dtype == torch.float16
                with torch.enable_grad():
                    assert as_autocast(weight)[0].requires_grad
                assert as_autocast(weight)[0] is first
            weight.mul_(2)
            with casting_once():
                assert as_autocast(weight)[0].tolist() == [2, 2]
        with casting_once():
            assert as_autocast(weight)[0] is not as_autocast(weight)[0]  # each has its own place in the graph


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 2), (1, 2)], ids=str)
def test_gradients_are_of_what_wants_them(wanted: tuple[int, ...]) -> None:
    def run(function):  # type: ignore[no-untyped-def]
        given = arguments()
        for i in wanted:
            given[i].requires_grad_()
        function(*given).square().mean().backward()
        return [tensor.grad for tensor in given]

    for i, (found, expected) in enumerate(zip(run(linear), run(F.linear), strict=True)):
        assert (found is not None) is (i in wanted)
        if found is not None:
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("has", "onednn", "native"), [("avx512_bf16", True, True), ("", True, False), ("amx_tile", False, False)]
)
def test_a_processor_multiplies_bfloat16_by_instructions_of_its_own(
    has: str, onednn: bool, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("avx512_bf16", "amx_tile"):
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda name=name: name == has)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn)
    module._bfloat16.cache_clear()
    assert module._bfloat16() is native
    module._bfloat16.cache_clear()
