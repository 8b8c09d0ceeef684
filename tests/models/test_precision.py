"""Half precision and autocast err no more than twice as much as release 1.4.0's layers do (style, rule 15)."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from perceiver_pytorch.nn import Attention, CrossAttend, PreNorm
from release import our_names, running_release
from release_cases import CASES, dense_array, ours_and_theirs
from small_models import CLASSES, build, inputs

NAMES = ["multi, bases 2, 3 and 10", "multi, tied, blocks", "multi, pixels, mask", "multi, heads"]


def error(got: Tensor, exact: Tensor) -> float:
    got, exact = got.detach().double(), exact.detach()
    return float((got - exact).square().mean().sqrt() / exact.square().mean().sqrt())


def classical(cross: CrossAttend) -> PreNorm:
    """The same cross-attend over a dense array, with keys and values."""
    latent_dim, input_dim = cross.norm.weight.shape[0], cross.norm_context.weight.shape[0]
    attention = Attention(latent_dim, input_dim, cross.fn.heads, cross.fn.to_q.out_features // cross.fn.heads)
    module = PreNorm(latent_dim, attention, context_dim=input_dim)
    module.load_state_dict(cross.state_dict(), strict=True)
    return module


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_a_model_in_half_precision(name: str, dtype: torch.dtype) -> None:
    """Against layers of plain PyTorch in that dtype. (Release 1.4.0 mixes dtypes then, and fails.)"""
    model, case = CASES[name].build(our_names()), CASES[name]
    data, mask = case.inputs(), case.mask()
    exact = copy.deepcopy(model).double()(data, mask)
    dense = dense_array(our_names(), model, {key: data[key].float() for key in sorted(data)}).to(dtype)
    half = copy.deepcopy(model).to(dtype)({key: value.to(dtype) for key, value in data.items()}, mask)
    assert half.dtype == dtype
    with torch.no_grad():
        x = model.latents.to(dtype).expand(2, -1, -1)
        for cross, feed_forward, transformer in model.layers:
            x = classical(cross).to(dtype)(x, context=dense, mask=mask) + x
            x = feed_forward.to(dtype)(x) + x
            x = transformer.to(dtype)(x) + x
        plain = model.to_logits.to(dtype)(model.pool(x))
    assert error(half, exact) <= 2 * error(plain, exact)


@pytest.mark.parametrize("name", [*NAMES, "perceiver, heads", "hierarchical, depth 3, heads", "text"])
def test_autocast(name: str) -> None:
    ours, theirs = ours_and_theirs(CASES[name])
    case = CASES[name]
    data = {key: value.float() if value.is_floating_point() else value for key, value in case.inputs().items()}
    given: Any = data["image"] if case.model == "Perceiver" else data
    exact = copy.deepcopy(ours).double()(given, case.mask())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = ours(given, case.mask())
    with torch.autocast("cpu", dtype=torch.bfloat16), running_release(torch.bfloat16), torch.no_grad():
        plain = theirs(given, case.mask())
    assert output.dtype == plain.dtype
    assert error(output, exact) <= 2 * error(plain, exact)
    output.float().square().sum().backward()
    assert all(p.grad.dtype == torch.float32 and torch.isfinite(p.grad).all() for p in ours.parameters())


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_every_model_runs_and_trains_in_half_precision(name: str, dtype: torch.dtype) -> None:
    model, batch = build(name).to(dtype), inputs(name)
    output = model(batch)  # float32 inputs are read as they are
    assert output.dtype == dtype
    output.float().square().mean().backward()
    assert all(p.grad.dtype == dtype and torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("name", CLASSES)
def test_every_model_runs_in_double_precision(name: str) -> None:
    model = build(name).double()
    assert model(inputs(name)).dtype == torch.float64


def test_a_default_dtype_of_double_precision_holds_throughout() -> None:
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        model: nn.Module = build("MultiModalityPerceiver")
        assert {p.dtype for p in model.parameters()} == {torch.float64}
        assert model(inputs("MultiModalityPerceiver")).dtype == torch.float64
    finally:
        torch.set_default_dtype(before)
