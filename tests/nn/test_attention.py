"""Dense attention agrees with release 1.4.0's and with its definition."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ops.problems import Spec, dense_tokens
from perceiver_pytorch.nn import Attention
from perceiver_pytorch.nn.tokens import Tokens
from release import release_names, running_release


def defined(module: Attention, x: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
    query, (key, value) = module.to_q(x), module.to_kv(context).chunk(2, dim=-1)
    heads = []
    for q, k, v in zip(*(t.chunk(module.heads, -1) for t in (query, key, value)), strict=True):
        scores = q @ k.mT / q.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask.flatten(1)[:, None], float("-inf"))
        heads.append(scores.softmax(-1) @ v)
    return module.to_out(torch.cat(heads, -1))


@pytest.mark.parametrize("mask_shape", [None, (2, 6), (2, 2, 3)], ids=str)
@pytest.mark.parametrize("heads", [1, 3])
def test_is_scaled_dot_product_attention(heads: int, mask_shape: tuple[int, ...] | None) -> None:
    module = Attention(8, 5, heads=heads, dim_head=4).double()
    x, context = torch.randn(2, 3, 8).double(), torch.randn(2, 6, 5).double()
    mask = None
    if mask_shape is not None:
        mask = torch.rand(mask_shape) > 0.4
        mask.flatten(1)[:, 0] = True
    torch.testing.assert_close(module(x, context, mask), defined(module, x, context, mask))


@pytest.mark.parametrize("masked", [False, True])
def test_equals_the_release(masked: bool) -> None:
    ours, theirs = Attention(8, 5, heads=2, dim_head=4), release_names().Attention(8, 5, heads=2, dim_head=4)
    theirs.load_state_dict(ours.state_dict())
    x, context = torch.randn(2, 3, 8), torch.randn(2, 6, 5)
    mask = torch.rand(2, 6) > 0.5 if masked else None
    if masked:
        mask[0] = False  # the mean of all values, in both
    with running_release(torch.float32):
        expected = theirs(x, context=context, mask=mask)
    torch.testing.assert_close(ours(x, context=context, mask=mask), expected)


def test_attends_to_itself_without_a_context() -> None:
    module, x = Attention(8, heads=2, dim_head=4), torch.randn(2, 3, 8)
    assert torch.equal(module(x), module(x, x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_finite_even_without_tokens(dtype: torch.dtype) -> None:
    module = Attention(8, heads=2, dim_head=4).to(dtype)
    x = (torch.randn(2, 3, 8) * 30).to(dtype)
    mask = torch.ones(2, 3, dtype=torch.bool)
    mask[0] = False
    output = module(x, mask=mask)
    assert output.dtype == dtype
    assert torch.isfinite(output).all()


def test_dropout_acts_in_training_alone() -> None:
    module, x = Attention(8, heads=2, dim_head=4, dropout=0.5), torch.randn(2, 3, 8)
    assert not torch.equal(module(x), module(x))
    module.eval()
    assert torch.equal(module(x), module(x))


@pytest.mark.parametrize("mask", [None, "first sample"])
@pytest.mark.parametrize("called", ["nothing", "keys and values", "the norm", "a bias"])
def test_reads_structured_contexts_through_their_norm(called: str, mask: str | None) -> None:
    """Weights are read, or modules called where somebody follows a call of them or there is more than a weight."""
    contexts = [spec.context(2, 11) for spec in (Spec(mask=mask), Spec((7,), channels=1, mask=mask))]
    module, norm = Attention(8, 11, heads=2, dim_head=3).double(), nn.LayerNorm(11, eps=0.1).double()
    if called == "a bias":
        module.to_kv = nn.Linear(11, 12).double()
    for parameter in [*norm.parameters(), *module.parameters()]:
        nn.init.normal_(parameter)
    calls = []
    if called in ("keys and values", "the norm"):
        part = norm if called == "the norm" else module.to_kv
        part.register_forward_hook(lambda module, given, output: calls.append(1))
    x = torch.randn(2, 3, 8, dtype=torch.float64)
    found = module(x, Tokens(contexts, norm))
    tokens = torch.cat([dense_tokens(context, torch.float64) for context in contexts], 1)
    tokens = F.layer_norm(tokens, (11,), norm.weight, norm.bias, eps=0.1)
    seen = None if mask is None else torch.cat([context.mask.flatten(1) for context in contexts], 1)
    expected = defined(module, x, tokens, seen)
    if mask is not None:
        expected[0] = module.to_out[0].bias  # a sample without tokens gets zeros
    torch.testing.assert_close(found, expected)
    assert bool(calls) is (called in ("keys and values", "the norm"))


def test_gradients_where_a_sample_has_no_token() -> None:
    torch.manual_seed(0)
    attention = Attention(6, heads=2, dim_head=4).double()
    x, mask = torch.randn(2, 5, 6, dtype=torch.float64), torch.tensor([[False] * 5, [True, True, False, True, False]])

    def formula() -> torch.Tensor:
        key, value = (each.unflatten(-1, (2, 4)).transpose(1, 2) for each in attention.to_kv(x).chunk(2, dim=-1))
        query = attention.to_q(x).unflatten(-1, (2, 4)).transpose(1, 2)
        scores = (query @ key.mT * attention.scale).masked_fill(~mask[:, None, None], torch.finfo(x.dtype).min)
        return attention.to_out((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))

    outputs = [attention(x, mask=mask), formula()]
    torch.testing.assert_close(*outputs)
    weights = list(attention.parameters())
    torch.testing.assert_close(*[torch.autograd.grad(each.square().sum(), weights) for each in outputs])
