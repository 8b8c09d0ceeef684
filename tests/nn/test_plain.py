"""A module whose weights are read takes part however somebody has changed it: held against calling every module."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import parametrizations, parametrize, prune

from perceiver_pytorch.nn import Attention, AttentionBlock, CrossAttend, PreNorm
from perceiver_pytorch.nn.linear import Linear
from perceiver_pytorch.nn.plain import held, is_plain, weight_of
from perceiver_pytorch.ops import Context

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
WIDTH, CHANNELS = 6, 5
Change = Callable[[nn.Module], nn.Module | None]


class Doubled(nn.Module):
    """What adapters do: a module around another one, whose weight it hands on."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    @property
    def weight(self) -> Tensor:
        return self.inner.weight

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.inner(x)


class Scaled(nn.Module):
    """A parametrisation."""

    def forward(self, weight: Tensor) -> Tensor:
        return 3 * weight


class Own(Tensor):
    """A weight of a class of its own, as quantised ones are."""


def own_class(module: nn.Module) -> None:
    kind = type("Tripled", (type(module),), {"forward": lambda self, x: 3 * super(kind, self).forward(x)})
    module.__class__ = kind


def own_forward(module: nn.Module) -> None:
    module.forward = lambda x: 3 * type(module).forward(module, x)  # type: ignore[method-assign]


CHANGES: dict[str, Change] = {
    "another module": Doubled,
    "a subclass": own_class,
    "a forward of its own": own_forward,
    "a forward hook": lambda m: m.register_forward_hook(lambda module, given, output: 2 * output) and None,
    "a hook in front": lambda m: m.register_forward_pre_hook(lambda module, given: (2 * given[0],)) and None,
    "parametrised": lambda m: parametrize.register_parametrization(m, "weight", Scaled()) and None,
    "weights of another class": lambda m: setattr(m, "weight", nn.Parameter(m.weight.data.as_subclass(Own))),
}
OF_LINEARS: dict[str, Change] = {
    "a bias": lambda m: nn.Linear(m.in_features, m.out_features),
    "weight_norm": lambda m: parametrizations.weight_norm(m) and None,
    "spectral_norm": lambda m: parametrizations.spectral_norm(m.eval()) and None,
    "weight_norm by hooks": lambda m: nn.utils.weight_norm(m) and None,
    "spectral_norm by hooks": lambda m: nn.utils.spectral_norm(m.eval()) and None,
    "pruned": lambda m: prune.l1_unstructured(m, "weight", 0.5) and None,
}
OF_NORMS: dict[str, Change] = {
    "RMSNorm": lambda m: nn.RMSNorm(CHANNELS),
    "none": lambda m: nn.Identity(),
    "without weights": lambda m: nn.LayerNorm(CHANNELS, elementwise_affine=False),
}


def cross_attend(read: str) -> nn.Module:
    if read == "AttentionBlock":
        return AttentionBlock(WIDTH, CHANNELS, heads=2)
    attention = {"heads": 2, "dim_head": 4}
    return (
        CrossAttend(WIDTH, CHANNELS, **attention)
        if read == "CrossAttend"
        else PreNorm(WIDTH, Attention(WIDTH, CHANNELS, **attention), context_dim=CHANNELS)
    )


def called(module: nn.Module, x: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
    """What a cross-attend gives whose modules are all called."""
    inner = module if isinstance(module, AttentionBlock) else module.fn
    tokens, query = module.norm_context(tokens), inner.to_q(module.norm(x))
    if isinstance(module, AttentionBlock):
        key, value = module.to_k(tokens), module.to_v(tokens)
    else:
        key, value = inner.to_kv(tokens).chunk(2, -1)
    query, key, value = (part.unflatten(-1, (2, -1)).transpose(1, 2) for part in (query, key, value))
    out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None])
    out = inner.to_out(out.transpose(1, 2).flatten(2))
    if not isinstance(module, AttentionBlock):
        return out
    return x + out + module.feed_forward(module.feed_forward_norm(x + out))


CASES = [
    (read, name, change)
    for read, names in {
        "CrossAttend": ("fn.to_kv", "norm_context"),
        "PreNorm": ("fn.to_kv", "norm_context"),
        "AttentionBlock": ("to_k", "to_v", "norm_context"),
    }.items()
    for name in names
    for change in (*CHANGES, *(OF_NORMS if name == "norm_context" else OF_LINEARS))
]


@pytest.mark.parametrize(("read", "name", "change"), CASES)
def test_a_changed_module_takes_part(read: str, name: str, change: str) -> None:
    torch.manual_seed(0)
    module = cross_attend(read)
    part = module.get_submodule(name)
    if "norm" in name:
        nn.init.normal_(part.weight), nn.init.normal_(part.bias)
    other = (CHANGES | OF_LINEARS | OF_NORMS)[change](part)
    if other is not None:
        module.set_submodule(name, other)
    x, first, second = torch.randn(2, 3, WIDTH), torch.randn(2, 4, 2, CHANNELS), torch.randn(2, 7, CHANNELS)
    mask = torch.rand(2, 4, 2) > 0.3
    for _ in range(2):  # hooks that renew a weight let a second backward pass through it
        out = module(x, context=[Context(first, mask=mask), Context(second)])
        all_masks = torch.cat([mask.flatten(1), torch.ones(2, 7, dtype=torch.bool)], 1)
        expected = called(module, x, torch.cat([first.flatten(1, 2), second], 1), all_masks)
        torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
        parameters = [p for p in module.parameters() if p.requires_grad]
        wanted = torch.autograd.grad(expected.square().sum(), parameters, allow_unused=True)
        found = torch.autograd.grad(out.square().sum(), parameters, allow_unused=True)
        for a, b in zip(found, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_a_sample_without_a_token_gets_nothing_either_way() -> None:
    module = cross_attend("CrossAttend")
    context = Context(torch.full((2, 4, CHANNELS), torch.nan), mask=torch.zeros(2, 4, dtype=torch.bool))
    read = module(torch.randn(2, 3, WIDTH), [context])
    module.fn.to_kv.register_forward_hook(lambda *given: None)
    torch.testing.assert_close(module(torch.randn(2, 3, WIDTH), [context]), read)


@pytest.mark.parametrize("direction", ["backward", "before backward", "everywhere"])
def test_all_hooks_are_called(direction: str) -> None:
    module, seen = cross_attend("CrossAttend"), []
    if direction == "everywhere":
        handle = register_module_forward_hook(lambda m, given, output: seen.append(m))
    elif direction == "backward":
        handle = module.fn.to_kv.register_full_backward_hook(lambda m, *grads: seen.append(m))
    else:
        handle = module.fn.to_kv.register_full_backward_pre_hook(lambda m, *grads: seen.append(m))
    try:
        module(torch.randn(2, 3, WIDTH), [Context(torch.randn(2, 4, CHANNELS))]).sum().backward()
    finally:
        handle.remove()
    assert module.fn.to_kv in seen


def test_hooks_of_the_attention_itself_are_called() -> None:
    for read in ("CrossAttend", "PreNorm"):
        module, seen = cross_attend(read), []
        module.fn.register_forward_hook(lambda m, given, output, seen=seen: seen.append(output.shape))
        module(torch.randn(2, 3, WIDTH), context=[Context(torch.randn(2, 4, CHANNELS))])
        assert seen == [(2, 3, WIDTH)]


def test_only_plain_modules_are_read() -> None:
    """The others would be right too: this is what makes plain ones fast."""
    module, seen = cross_attend("CrossAttend"), []
    x, context = torch.randn(2, 3, WIDTH), [Context(torch.randn(2, 4, CHANNELS))]
    for part in (module.fn.to_kv, module.norm_context):
        assert is_plain(part)
        handle = part.register_forward_hook(lambda m, given, output: seen.append(m))
        assert not is_plain(part)
        handle.remove()
        assert is_plain(part)
    parametrize.register_parametrization(module.fn.to_kv, "weight", Scaled())
    assert is_plain(module.fn.to_kv)
    forward = Linear.forward
    Linear.forward = lambda self, given: seen.append(self) or forward(self, given)  # type: ignore[method-assign]
    try:
        module(x, context)
    finally:
        Linear.forward = forward  # type: ignore[method-assign]
    assert [layer is module.fn.to_kv for layer in seen] == [False, False]


def test_a_tied_weight_is_read_or_refused() -> None:
    embedding = nn.Embedding(4, 3)
    embedding.register_forward_hook(lambda m, given, output: None)
    assert weight_of("embedding", embedding) is embedding.weight
    own_forward(embedding)
    with pytest.raises(TypeError, match=r"embedding must be an nn.Embedding with its own forward.*got Embedding"):
        weight_of("embedding", embedding)
    with pytest.raises(TypeError, match=r"got Doubled. Leave it out \(peft: exclude_modules"):
        weight_of("embedding", Doubled(embedding))


def test_a_parameter_of_a_list_has_to_be_there() -> None:
    here, nowhere = torch.ones(2), torch.ones(2, device="meta")
    parameter = nn.Parameter(torch.ones(2))
    assert held("code", parameter, here) is parameter
    assert held("code", parameter, nowhere) is parameter
    assert held("code", nn.Parameter(nowhere), nowhere).is_meta
    with pytest.raises(TypeError, match="code must be whole and on the device of the data, got it on the meta device"):
        held("code", nn.Parameter(nowhere), here)
    with pytest.raises(
        TypeError, match=r"got it on a Own: lists of parameters are never called.*FSDP: shard the model"
    ):
        held("code", torch.ones(2).as_subclass(Own), here)
