"""Parts of layers that one loop computes: the same numbers, and every module that must be called is called."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from perceiver_pytorch.nn import latent_parts
from perceiver_pytorch.nn.layer import LatentTransformer, LayerParts, PerceiverLayer, SingleBlockLayer
from perceiver_pytorch.nn.sizes import Sizes
from perceiver_pytorch.ops import latents

pytest.importorskip("numba")


class Unread(nn.Module):
    """A cross-attend that finds nothing."""

    def forward(self, x: Tensor, context: object) -> Tensor:
        return x * 0


class Halved(nn.Module):
    """A cross-attend that finds half of what it asks with."""

    def forward(self, x: Tensor, context: object) -> Tensor:
        return x / 2


class Gradients(NamedTuple):
    """Of a layer's latents, of one number made of its output, and of what it was given."""

    out: Tensor
    x: Tensor
    weights: dict[str, Tensor]

    def each(self) -> dict[str, Tensor]:
        return {"out": self.out, "x": self.x, **self.weights}


def layer(
    dim: int = 24, heads: int = 3, dim_head: int = 8, blocks: int = 2, activation: str = "geglu", **options: bool
) -> PerceiverLayer:
    sizes = Sizes(depth=1, latent_dim=dim, latent_heads=heads, latent_dim_head=dim_head, attn_dropout=0.1)
    parts = LayerParts(sizes=sizes, input_dim=5, activation=activation, widening_factor=2)
    transformer = LatentTransformer([parts.latent_block(dim) for _ in range(blocks)])
    made = PerceiverLayer(Unread(), parts.feed_forward(dim), transformer, **options)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3)
    return made.eval()


@pytest.fixture(autouse=True, scope="module")
def any_number() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latents, "FEWEST", 1)
        yield


@pytest.fixture
def fused(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each call, whether one loop computed it."""
    calls = []
    through = latents.through

    def counted(*arguments: object, **options: object) -> Tensor | None:
        out = through(*arguments, **options)  # type: ignore[arg-type]
        calls.append(out is not None)
        return out

    monkeypatch.setattr(latents, "through", counted)
    return calls


@contextmanager
def calling() -> Iterator[None]:
    """Within the block every module is called."""
    before, latent_parts.through = latent_parts.through, lambda *arguments, **options: None
    try:
        yield
    finally:
        latent_parts.through = before


def called(made: nn.Module, x: Tensor) -> Tensor:
    """The result where every module is called."""
    with calling(), torch.no_grad():
        out: Tensor = made(x, [])
        return out


def gradients(made: nn.Module, x: Tensor, weights: Tensor) -> Gradients:
    """Of the sum of the output times ``weights``."""
    x = x.clone().requires_grad_()
    out = made(x, [])
    names, parameters = zip(*made.named_parameters(), strict=True)
    of_x, *others = torch.autograd.grad((out * weights).sum(), (x, *parameters))
    return Gradients(out.detach(), of_x, dict(zip(names, others, strict=True)))


def assert_same_gradients(made: PerceiverLayer | SingleBlockLayer, x: Tensor) -> None:
    """Each errs no more than twice as much as PyTorch's, against float64, but for what cancels out."""
    weights = torch.randn_like(x)
    found = gradients(made, x, weights)
    with calling():
        plain = gradients(made, x, weights)
        expected = gradients(copy.deepcopy(made).double(), x.double(), weights.double()).each()
    assert found.each().keys() == expected.keys()
    largest = max(value.abs().max().item() for value in expected.values())
    for name, value in found.each().items():
        scale = expected[name].abs().max().item() + largest / 10
        error = (plain.each()[name] - expected[name]).abs().max().item()
        assert (value - expected[name]).abs().max().item() <= 2 * error + 2e-6 * scale, name


def assert_same(made: PerceiverLayer | SingleBlockLayer, x: Tensor) -> None:
    """Errs no more than twice as much as PyTorch does, against float64."""
    with torch.no_grad():
        found = made(x, [])
    plain = called(made, x)
    expected = called(copy.deepcopy(made).double(), x.double())
    scale = expected.abs().max().item()
    error = (plain - expected).abs().max().item()
    assert (found - expected).abs().max().item() <= 2 * error + 1e-6 * scale


@given(
    st.integers(1, 3), st.integers(1, 70), st.integers(1, 40), st.integers(1, 5), st.integers(1, 20),
    st.sampled_from(["geglu", "gelu"]), st.booleans(), st.integers(0, 100),
)  # fmt: skip
@settings(deadline=None, max_examples=40)
def test_equals_float64_for_any_shape(
    batch: int, num_latents: int, dim: int, heads: int, dim_head: int, activation: str, twice: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    made = layer(dim, heads, dim_head, activation=activation, double_residual=twice)
    assert_same(made, torch.randn(batch, num_latents, dim) * 3)


@given(
    st.integers(1, 3), st.integers(1, 40), st.integers(4, 40), st.integers(1, 4), st.integers(1, 20),
    st.sampled_from(["geglu", "gelu"]), st.booleans(), st.integers(0, 100),
)  # fmt: skip
@settings(deadline=None, max_examples=40)
def test_gradients_equal_those_in_float64_for_any_shape(
    batch: int, num_latents: int, dim: int, heads: int, dim_head: int, activation: str, twice: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    made = layer(dim, heads, dim_head, activation=activation, double_residual=twice)
    made[0] = Halved()
    assert_same_gradients(made, torch.randn(batch, num_latents, dim))


def test_a_layer_has_its_gradients_by_loops(fused: list[bool]) -> None:
    torch.manual_seed(0)
    for made in (layer(double_residual=True), layer(double_residual=False)):
        made[0] = Halved()
        assert_same_gradients(made, torch.randn(2, 12, 24))
        blocks = made.latent_transformer.latent_blocks
        assert_same_gradients(SingleBlockLayer(Halved(), made.feed_forward, *blocks), torch.randn(2, 20, 24))
    assert fused == [True] * 4


def test_a_layer_goes_through_one_loop(fused: list[bool]) -> None:
    torch.manual_seed(0)
    for twice in (False, True):
        assert_same(layer(double_residual=twice), torch.randn(2, 12, 24))
    assert fused == [True, True]


def test_a_layer_with_its_parts_in_a_list_too(fused: list[bool]) -> None:
    torch.manual_seed(0)
    whole = layer()
    assert_same(
        SingleBlockLayer(Unread(), whole.feed_forward, *whole.latent_transformer.latent_blocks).eval(),
        torch.randn(2, 12, 24),
    )
    assert fused == [True]


def test_a_row_does_not_depend_on_its_batch(fused: list[bool]) -> None:
    torch.manual_seed(0)
    made, x = layer(), torch.randn(5, 12, 24)
    with torch.no_grad():
        whole = made(x, [])
        apart = torch.cat([made(row, []) for row in x.split(1)])
    assert torch.equal(whole, apart)
    assert all(fused)


def test_large_and_small_numbers_stay_what_they_are() -> None:
    torch.manual_seed(0)
    for scale in (1e-6, 1e4):
        assert_same(layer(), torch.randn(1, 12, 24) * scale)
    made = layer()
    for parameter in made.latent_transformer.parameters():
        parameter.data *= 3  # scores of hundreds, gates far from zero
    assert_same(made, torch.randn(1, 12, 24))


def test_nan_in_one_sample_stays_there(fused: list[bool]) -> None:
    torch.manual_seed(0)
    made, x = layer(), torch.randn(2, 12, 24)
    with torch.no_grad():
        expected = made(x, [])
        x[0, 3, 4] = float("nan")
        found = made(x, [])
    assert found[0].isnan().all()
    assert torch.equal(found[1], expected[1])
    assert fused == [True, True]


def changed(made: PerceiverLayer, how: str) -> None:
    block = made.latent_transformer.latent_blocks[1]
    attention = block[0].fn
    if how == "hook":
        attention.to_q.register_forward_hook(lambda module, inputs, output: output * 2)
    elif how == "hook of a block":
        block.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 2,))
    elif how == "forward":
        forward = attention.to_kv.forward
        attention.to_kv.forward = lambda x: forward(x) * 2
    elif how == "class":
        attention.to_q = nn.Sequential(attention.to_q, nn.Tanh())
    elif how == "bias":
        attention.to_q.bias = nn.Parameter(torch.ones(attention.to_q.out_features))
    elif how == "parametrised":
        nn.utils.parametrize.register_parametrization(made.feed_forward.fn.net[0], "weight", nn.Tanh())
    elif how == "activation":
        block[1].fn.net[1] = nn.GELU()
        block[1].fn.net[3] = nn.Linear(96, 24)
    elif how == "dropout":
        made.train()
    elif how == "scale":
        attention.scale = 1.0
    elif how == "dtype":
        made.double()
    else:
        raise AssertionError(how)


@pytest.mark.parametrize(
    "how",
    ["hook", "hook of a block", "forward", "class", "bias", "parametrised", "activation", "dropout", "scale", "dtype"],
)
@pytest.mark.parametrize("training", [False, True])
def test_what_somebody_changed_is_called(how: str, training: bool, fused: list[bool]) -> None:
    torch.manual_seed(0)
    made, x = layer(), torch.randn(2, 12, 24)
    changed(made, how)
    with torch.set_grad_enabled(training):
        torch.manual_seed(1)
        found = made(x.double() if how == "dtype" else x, [])
    assert not any(fused)
    torch.manual_seed(1)
    assert torch.equal(found, called(made, x.double() if how == "dtype" else x))


def test_weights_may_change_between_calls(fused: list[bool]) -> None:
    torch.manual_seed(0)
    made, x = layer(), torch.randn(1, 12, 24)
    for parameter in made.parameters():
        assert_same(made, x)
        parameter.data.mul_(1.5)  # which PyTorch does not count as a change
    made.latent_transformer.latent_blocks[0] = layer().latent_transformer.latent_blocks[1]
    assert_same(made, x)
    assert all(fused)


def calls_in_bfloat16(made: PerceiverLayer, x: Tensor) -> Tensor:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        return made(x, [])


def calls_transformed(made: PerceiverLayer, x: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.func.vmap(lambda row: made(row.unsqueeze(0), []))(x)


def calls_forward_mode(made: PerceiverLayer, x: Tensor) -> Tensor:
    def of(x: Tensor) -> Tensor:
        return made(x, [])

    out: Tensor = torch.func.jvp(of, (x,), (x,))[1]
    return out


def calls_a_function_of_weights(made: PerceiverLayer, x: Tensor) -> Tensor:
    def loss(weights: dict[str, Tensor]) -> Tensor:
        out: Tensor = torch.func.functional_call(made, weights, (x, []))
        return out.square().sum()

    return torch.func.grad(loss)(dict(made.named_parameters()))["1.norm.weight"]


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # PyTorch's own, for its layer norm
@pytest.mark.parametrize(
    "call", [calls_in_bfloat16, calls_transformed, calls_forward_mode, calls_a_function_of_weights]
)
def test_who_follows_operations_sees_them(call: Callable[[PerceiverLayer, Tensor], Tensor], fused: list[bool]) -> None:
    torch.manual_seed(0)
    assert call(layer(), torch.randn(2, 12, 24)).isfinite().all()
    assert not any(fused)
