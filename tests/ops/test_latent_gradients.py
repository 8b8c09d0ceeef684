"""Gradients of latents through compiled loops: those of PyTorch's operations, for whoever asks."""

import gc
import weakref
from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from perceiver_pytorch.ops import latent_gradients, latent_steps, latents
from perceiver_pytorch.ops.backends import compiling
from perceiver_pytorch.ops.backends.instead import NotCompiledError
from perceiver_pytorch.ops.latent_gradients import sharing
from perceiver_pytorch.ops.latent_steps import LatentPart, computed, planned
from perceiver_pytorch.ops.latents import through

pytest.importorskip("numba")


@pytest.fixture(autouse=True)
def any_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latents, "FEWEST", 1)


def weight(*shape: int) -> Tensor:
    return (torch.randn(shape) / 3).requires_grad_()


def attention(dim: int = 8, heads: int = 2, width: int = 3) -> LatentPart:
    inner = heads * width
    weights = weight(inner, dim), None, weight(dim, inner), weight(dim), weight(2 * inner, dim)
    return LatentPart("attention", weight(dim), weight(dim), 1e-5, *weights, heads)


def feed_forward(dim: int = 8, width: int = 10) -> LatentPart:
    return LatentPart(
        "geglu", weight(dim), None, 1e-5, weight(2 * width, dim), weight(2 * width), weight(dim, width), None
    )


@pytest.fixture
def parts() -> list[LatentPart]:
    return [feed_forward(), attention(), feed_forward()]


def leaves(parts: Sequence[LatentPart]) -> list[Tensor]:
    return planned(parts, None)[1]


def layers(x: Tensor, parts: Sequence[LatentPart], number: int = 3, keep: int | None = 1) -> Tensor:
    """The same parts several times, as tied layers are."""
    with sharing():
        for _ in range(number):
            out = through(x, parts, keep=keep)
            assert out is not None
            x = out / 2
    return x


def expected(x: Tensor, parts: Sequence[LatentPart], number: int = 3, keep: int | None = 1) -> Tensor:
    """By operations of PyTorch."""
    plan, tensors = planned(parts, keep)
    for _ in range(number):
        x = computed(x, plan, tensors)[0] / 2
    return x


def close(found: Sequence[Tensor | None], wanted: Sequence[Tensor | None]) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-5 * float(other.abs().max()))


def both(ask: Callable[[Callable[..., Tensor]], Sequence[Tensor | None]]) -> None:
    """``ask`` gives the same of `layers` and of `expected`."""
    close(ask(layers), ask(expected))


@pytest.fixture
def compiling_still(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """While names of loops are in the list, they are not there."""
    missing = ["latent_loops.forward", "latent_grads.backward", "latent_weights.weights"]
    ensure = compiling.ensure

    def not_yet(key: object, name: str, *arguments: object) -> None:
        if name in missing:
            raise NotCompiledError
        ensure(key, name, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(compiling, "ensure", not_yet)
    yield missing
    assert not latent_steps.failures


def test_autocast_around_a_backward_pass_changes_nothing(parts: list[LatentPart], compiling_still: list[str]) -> None:
    x = torch.randn(2, 5, 8, requires_grad=True)

    def ask(function: Callable[..., Tensor], autocast: bool) -> Sequence[Tensor]:
        out = function(x, parts).square().sum()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            return torch.autograd.grad(out, [x, *leaves(parts)])

    for missing in (compiling_still[:], []):
        compiling_still[:] = missing
        close(ask(layers, True), ask(expected, False))


def test_weights_that_are_laid_out_anew_before_the_backward_pass(parts: list[LatentPart]) -> None:
    """Setting ``data`` leaves no trace that could be refused."""
    x = torch.randn(2, 5, 8, requires_grad=True)

    def ask(function: Callable[..., Tensor]) -> Sequence[Tensor]:
        out = function(x, parts).square().sum()
        for tensor in leaves(parts):
            tensor.data = tensor.data.clone(memory_format=torch.contiguous_format)
            if tensor.dim() == 2:
                tensor.data = tensor.data.t().contiguous().t()
        found = torch.autograd.grad(out, [x, *leaves(parts)])
        for tensor in leaves(parts):
            tensor.data = tensor.data.contiguous()
        return found

    both(ask)


def test_another_default_device_plays_no_part(parts: list[LatentPart], compiling_still: list[str]) -> None:
    x = torch.randn(2, 5, 8, requires_grad=True)

    def ask(function: Callable[..., Tensor]) -> Sequence[Tensor]:
        with torch.device("meta"):
            out = function(x, parts).square().sum()
        return torch.autograd.grad(out, [x, *leaves(parts)])

    both(ask)


@pytest.mark.parametrize("keep", [None, 0, 1, 3])
def test_layers_with_the_same_weights_add_up(parts: list[LatentPart], keep: int | None) -> None:
    x = torch.randn(2, 5, 8, requires_grad=True)
    both(lambda function: torch.autograd.grad(function(x, parts, keep=keep).square().sum(), [x, *leaves(parts)]))


def test_a_weight_that_parts_of_a_layer_share_adds_up() -> None:
    part, other = attention(), feed_forward()
    x = torch.randn(2, 5, 8)
    both(lambda function: torch.autograd.grad(function(x, [part, other, part]).sum(), leaves([part, other])))


def test_layers_with_other_weights_or_numbers_of_latents_have_their_own(parts: list[LatentPart]) -> None:
    x = torch.randn(2, 5, 8)

    def ask(function: Callable[..., Tensor]) -> Sequence[Tensor]:
        with sharing():
            one, two = function(x, parts[:2]), function(x, parts[1:])
            three = function(x[:, :2], parts[:2])
        return torch.autograd.grad(one.sum() + two.square().sum() + three.square().sum(), leaves(parts))

    both(ask)


def test_only_what_is_asked_for(parts: list[LatentPart]) -> None:
    x = torch.randn(2, 5, 8, requires_grad=True)
    all_weights = leaves(parts)
    both(lambda function: torch.autograd.grad(function(x, parts).square().sum(), [x]))
    both(lambda function: torch.autograd.grad(function(x, parts).square().sum(), all_weights[3:5]))
    for frozen in all_weights[::2]:
        frozen.requires_grad_(False)
    both(lambda function: torch.autograd.grad(function(x.detach(), parts).square().sum(), all_weights[1::2]))
    for frozen in all_weights:
        frozen.requires_grad_(False)
    both(lambda function: torch.autograd.grad(function(x, parts).square().sum(), [x]))


def test_gradients_that_are_expanded_or_turned(parts: list[LatentPart]) -> None:
    x = torch.randn(2, 5, 8, requires_grad=True)
    both(lambda function: torch.autograd.grad(function(x, parts).sum(), [x, *leaves(parts)]))
    turned = torch.randn(8, 5, 2).permute(2, 1, 0)
    both(lambda function: torch.autograd.grad(function(x, parts), [x, *leaves(parts)], turned))


def test_passes_by_the_same_graph_are_apart(parts: list[LatentPart]) -> None:
    x = torch.randn(2, 5, 8, requires_grad=True)

    def ask(function: Callable[..., Tensor]) -> Sequence[Tensor]:
        out = function(x, parts)
        found = list(torch.autograd.grad(out.sum(), [x], retain_graph=True))  # what it leaves for weights is dropped
        for _ in range(2):
            found += torch.autograd.grad(out.square().sum(), [x, *leaves(parts)], retain_graph=True)
        return found

    both(ask)


def test_a_pass_without_weights_leaves_nothing(parts: list[LatentPart]) -> None:
    x = torch.randn(2, 5, 8, requires_grad=True)
    plan, tensors = planned(parts, None)
    weights = latent_gradients._Weights(plan, 8, tensors)
    out = latent_gradients._Through.apply(weights, x, latent_gradients._Join.apply(weights, *tensors))
    torch.autograd.grad(out.sum(), [x])
    assert not weights.left


def test_gradients_of_gradients(parts: list[LatentPart]) -> None:
    x = torch.randn(2, 5, 8, requires_grad=True)

    def ask(function: Callable[..., Tensor]) -> Sequence[Tensor]:
        inputs = [x, *leaves(parts)]
        first = torch.autograd.grad(function(x, parts).square().sum(), inputs, create_graph=True)
        return torch.autograd.grad(sum((one.square().sum() for one in first), torch.zeros(())), inputs)

    both(ask)


def test_many_gradients_at_once(parts: list[LatentPart]) -> None:
    x = torch.randn(2, 5, 8, requires_grad=True)
    many = torch.randn(4, 2, 5, 8)
    both(lambda function: torch.autograd.grad(function(x, parts), [x, *leaves(parts)], many, is_grads_batched=True))


def test_while_loops_are_compiled_pytorch_computes(parts: list[LatentPart], compiling_still: list[str]) -> None:
    x = torch.randn(2, 5, 8, requires_grad=True)

    def ask(function: Callable[..., Tensor]) -> Sequence[Tensor]:
        found = torch.autograd.grad(function(x, parts).square().sum(), [x, *leaves(parts)])
        assert not any(one.requires_grad for one in found)
        return found

    while compiling_still:
        both(ask)
        compiling_still.pop()
    both(ask)


def test_loops_that_come_within_a_pass(parts: list[LatentPart], compiling_still: list[str]) -> None:
    x = torch.randn(2, 5, 8, requires_grad=True)

    def ask(function: Callable[..., Tensor]) -> Sequence[Tensor]:
        with sharing():
            one = function(x, parts, number=1)
            one.register_hook(lambda grad: compiling_still.clear())
            out = function(one, parts, number=2)
        return torch.autograd.grad(out.square().sum(), [x, *leaves(parts)])

    both(ask)


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints(parts: list[LatentPart], compiling_still: list[str], reentrant: bool) -> None:
    """Also where the loops are there when a part is computed again."""
    x = torch.randn(2, 5, 8, requires_grad=True)

    def ask(function: Callable[..., Tensor]) -> Sequence[Tensor | None]:
        for tensor in (x, *leaves(parts)):
            tensor.grad = None
        out = x
        if reentrant:  # its first pass is one without gradients
            compiling_still.clear()
        with sharing():
            for _ in range(3):
                out = checkpoint(lambda x: function(x, parts, number=1), out, use_reentrant=reentrant)
        compiling_still.clear()
        out.square().sum().backward()
        return [tensor.grad for tensor in (x, *leaves(parts))]

    both(ask)


def test_weights_that_were_changed_meanwhile_are_told_of(parts: list[LatentPart]) -> None:
    out = layers(torch.randn(2, 5, 8), parts)
    with torch.no_grad():
        leaves(parts)[2].mul_(2)
    with pytest.raises(RuntimeError, match="changed in place"):
        out.sum().backward()


def test_weights_may_change_between_layers_in_a_new_graph(parts: list[LatentPart]) -> None:
    x = torch.randn(2, 5, 8)
    with sharing():
        through(x, parts)
        with torch.no_grad():
            leaves(parts)[2].mul_(2)
        out = through(x, parts)
        assert out is not None
        found = torch.autograd.grad(out.square().sum(), leaves(parts))
    close(found, torch.autograd.grad((2 * expected(x, parts, 1, None)).square().sum(), leaves(parts)))


def test_weights_made_of_others(parts: list[LatentPart]) -> None:
    source, x = torch.randn(10, 8, requires_grad=True), torch.randn(2, 5, 8)
    first, last = source * 2, source.mT.contiguous()
    made = LatentPart("gelu", None, None, 1e-5, first, None, last, None)
    both(lambda function: torch.autograd.grad(function(x, [made]).square().sum(), [source], retain_graph=True))


def test_the_same_bits_twice_and_in_any_number_of_threads(parts: list[LatentPart]) -> None:
    x = torch.randn(5, 12, 8, requires_grad=True)
    runs = []
    before = torch.get_num_threads()
    try:
        for number in (1, 1, 2, 3):
            torch.set_num_threads(number)
            runs.append(torch.autograd.grad(layers(x, parts).square().sum(), [x, *leaves(parts)]))
    finally:
        torch.set_num_threads(before)
    for run in runs[1:]:
        assert all(map(torch.equal, runs[0], run))


def test_a_norm_without_epsilon(parts: list[LatentPart]) -> None:
    """Lanes without a latent, where it divides by zero, are in no sum."""
    part = LatentPart("gelu", weight(8), weight(8), 0.0, weight(10, 8), weight(10), weight(8, 10), weight(8))
    x = torch.randn(2, 5, 8, requires_grad=True)
    both(lambda function: torch.autograd.grad(function(x, [part]).square().sum(), [x, *leaves([part])]))


def test_graphs_go_when_nobody_holds_them(parts: list[LatentPart]) -> None:
    out = layers(torch.randn(2, 5, 8), parts)
    plan, tensors = planned(parts, None)
    weights = latent_gradients._Weights(plan, 8, tensors)
    token = latent_gradients._Join.apply(weights, *tensors)
    out = latent_gradients._Through.apply(weights, torch.randn(2, 5, 8), token)
    alive = weakref.ref(weights)
    gc.disable()
    try:
        out.sum().backward()
        del out, token, weights
        assert alive() is None
    finally:
        gc.enable()


def test_large_products_are_left_to_pytorch(parts: list[LatentPart], monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 2 * 5 * max(tensor.numel() for tensor in leaves(parts))
    monkeypatch.setattr(latents, "TRAINED", largest)
    assert through(torch.randn(2, 5, 8), parts) is not None
    monkeypatch.setattr(latents, "TRAINED", largest - 1)
    assert through(torch.randn(2, 5, 8), parts) is None


def test_very_few_latents_are_left_to_pytorch(parts: list[LatentPart], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latents, "FEWEST", 6)
    assert through(torch.randn(2, 5, 8), parts) is None
    assert through(torch.randn(2, 6, 8), parts) is not None
