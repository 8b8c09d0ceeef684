"""The block against a dense computation in float64, written out."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ops.problems import Spec, dense_tokens
from perceiver_pytorch.nn import AttentionBlock
from perceiver_pytorch.ops import Context, use_backend

IMAGE, SOUND = Spec((3, 4)), Spec((7,), channels=1, code=2)
WIDTH = IMAGE.num_channels


def random_block(*arguments: Any, **options: Any) -> AttentionBlock:
    block = AttentionBlock(*arguments, **options).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5)
    return block


def by_hand(block: AttentionBlock, x: Tensor, tokens: Tensor | None, mask: Tensor | None) -> Tensor:
    """The same, head by head and with an explicit mask of zeros and ones."""
    normed = F.layer_norm(x, x.shape[-1:], block.norm.weight, block.norm.bias)
    if tokens is None:
        tokens = normed
    else:
        tokens = F.layer_norm(tokens, tokens.shape[-1:], block.norm_context.weight, block.norm_context.bias)
    here = torch.ones(tokens.shape[:2], dtype=x.dtype) if mask is None else mask.to(x.dtype)
    query, key, value = block.to_q(normed), block.to_k(tokens), block.to_v(tokens)
    heads = []
    for q, k, v in zip(*(t.chunk(block.heads, -1) for t in (query, key, value)), strict=True):
        exps = torch.exp(q @ k.mT / q.shape[-1] ** 0.5)
        weights = (exps / exps.sum(1, keepdim=True) if block.inverted else exps) * here[:, None]
        total = weights.sum(-1, keepdim=True)
        heads.append(weights @ v / torch.where(total == 0, 1.0, total))
    out = block.to_out(torch.cat(heads, -1))
    x = x + out if block.query_residual else out
    if block.feed_forward is None:
        return x
    first, _, _, last = block.feed_forward
    hidden = first(F.layer_norm(x, x.shape[-1:], block.feed_forward_norm.weight, block.feed_forward_norm.bias))
    return x + last(hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5)))


def assert_same_with_gradients(block: AttentionBlock, got: Tensor, expected: Tensor, *inputs: Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)
    of = [*block.parameters(), *inputs]
    weights = torch.cos(torch.arange(got.numel(), dtype=got.dtype)).view_as(got)
    pairs = [torch.autograd.grad((out * weights).sum(), of, allow_unused=True) for out in (got, expected)]
    for a, b in zip(*pairs, strict=True):
        assert a is not None
        torch.testing.assert_close(a, torch.zeros_like(a) if b is None else b, rtol=1e-8, atol=1e-8)


OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "heads": {"heads": 2},
    "other widths": {"heads": 2, "qk_dim": 10, "v_dim": 4},
    "no query residual": {"query_residual": False, "v_dim": 5},
    "no query residual, given output": {"query_residual": False, "qk_dim": 8, "heads": 4, "output_dim": 3},
    "no biases": {"bias": False},
    "no feed-forward": {"feed_forward": False},
    "wider feed-forward": {"widening_factor": 3},
    "inverted": {"inverted": True, "heads": 2, "v_dim": 4},
    "inverted, no residual": {"inverted": True, "query_residual": False},
}


@pytest.fixture(params=OPTIONS)
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return OPTIONS[request.param]


@pytest.mark.parametrize("masks", [None, "random", "first sample"])
@pytest.mark.parametrize("backend", ["auto", "projected", "reference", "chunked"])
def test_reads_structured_contexts(options: dict[str, Any], masks: str | None, backend: str) -> None:
    block = random_block(6, WIDTH, **options)
    contexts = [replace(spec, mask=masks).context(2, WIDTH) for spec in (IMAGE, SOUND)]
    x, code = torch.randn(2, 3, 6).double().requires_grad_(), contexts[0].code.requires_grad_()
    data = contexts[0].data.requires_grad_()
    tokens = torch.cat([dense_tokens(context, torch.float64) for context in contexts], 1)
    mask = None if masks is None else torch.cat([context.mask.flatten(1) for context in contexts], 1)
    with use_backend(backend):
        assert_same_with_gradients(block, block(x, contexts), by_hand(block, x, tokens, mask), x, data, code)


@pytest.mark.parametrize("part", ["to_k", "to_v", "norm_context"])
@pytest.mark.parametrize("masks", [None, "first sample"])
def test_parts_that_somebody_follows_are_called(part: str, masks: str | None) -> None:
    block = random_block(6, WIDTH, heads=2, v_dim=4)
    calls: list[str] = []
    block.get_submodule(part).register_forward_hook(lambda module, given, output: calls.append(part))
    contexts = [replace(spec, mask=masks).context(2, WIDTH) for spec in (IMAGE, SOUND)]
    x = torch.randn(1, 3, 6).double()  # the same queries for both samples
    found = block(x, contexts)
    assert calls == [part]
    tokens = torch.cat([dense_tokens(context, torch.float64) for context in contexts], 1)
    mask = None if masks is None else torch.cat([context.mask.flatten(1) for context in contexts], 1)
    torch.testing.assert_close(found, by_hand(block, x.expand(2, -1, -1), tokens, mask))


@pytest.mark.parametrize("channels", [5, 80])  # 80: read by keys and values, whatever the cost
@pytest.mark.parametrize("masked", [False, True])
def test_reads_a_dense_context(options: dict[str, Any], masked: bool, channels: int) -> None:
    block = random_block(6, channels, **options)
    x, tokens = torch.randn(2, 3, 6).double().requires_grad_(), torch.randn(2, 9, channels).double().requires_grad_()
    mask = (torch.rand(2, 9) > 0.4) & torch.tensor([[True], [False]]) if masked else None
    given = tokens if mask is None else tokens.masked_fill(~mask.unsqueeze(-1), float("nan"))  # not looked at
    expected = by_hand(block, x, tokens if mask is None else tokens.masked_fill(~mask.unsqueeze(-1), 0.0), mask)
    assert_same_with_gradients(block, block(x, given, mask), expected, x, tokens)


@pytest.mark.parametrize("masked", [False, True])
def test_attends_to_itself(options: dict[str, Any], masked: bool) -> None:
    block = random_block(6, **options)
    x = torch.randn(2, 5, 6).double().requires_grad_()
    mask = (torch.rand(2, 5) > 0.4) & torch.tensor([[True], [False]]) if masked else None
    assert_same_with_gradients(block, block(x, mask=mask), by_hand(block, x, None, mask), x)


def test_geglu_is_the_feed_forward_of_the_other_models() -> None:
    block = AttentionBlock(6, activation="geglu", widening_factor=2, feed_forward=True)
    assert [tuple(p.shape) for p in block.feed_forward.parameters()] == [(24, 6), (24,), (6, 12), (6,)]


@pytest.mark.parametrize("inverted", [False, True])
def test_gradients_are_those_of_finite_differences(inverted: bool) -> None:
    block = random_block(4, 5, heads=2, v_dim=2, inverted=inverted)
    mask = torch.tensor([[True, False, True], [False, False, False]])
    x, tokens = torch.randn(2, 2, 4).double().requires_grad_(), torch.randn(2, 3, 5).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, tokens: block(x, tokens, mask), (x, tokens))


def test_queries_compete_for_tokens_when_inverted() -> None:
    """Every token's shares sum up to 1 over the queries, which is what a slot is."""
    block = random_block(4, 5, inverted=True, query_residual=False, feed_forward=False, qk_dim=4, v_dim=5)
    shares = []
    block.to_out.register_forward_pre_hook(lambda module, given: shares.append(given[0]))
    tokens = torch.randn(1, 6, 5).double()
    one, _ = block(torch.randn(1, 1, 4).double(), tokens), block(torch.randn(1, 3, 4).double(), tokens)
    normed = block.norm_context(tokens)
    torch.testing.assert_close(shares[0], block.to_v(normed).mean(1, keepdim=True))  # no rival: a plain mean
    assert one.shape == (1, 1, 5)


def test_bfloat16_parameters_read_bytes() -> None:
    for inverted in (False, True):
        block = AttentionBlock(8, 9, inverted=inverted).bfloat16()
        pixels = Context(torch.randint(256, (2, 4, 4, 3), dtype=torch.uint8), padding=6)
        assert block(torch.randn(2, 3, 8, dtype=torch.bfloat16), [pixels]).dtype == torch.bfloat16


@pytest.mark.usefixtures("user_view")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: AttentionBlock(6, heads=4), "heads must divide qk_dim, got 4 heads and qk_dim=6"),
        (lambda: AttentionBlock(6, heads=2, v_dim=5), "heads must divide v_dim, got 2 heads and v_dim=5"),
        (lambda: AttentionBlock(6, output_dim=5), "output_dim must be query_dim=6, got 5; use query_residual=False"),
        (lambda: AttentionBlock(6, activation="tanh"), "activation must be one of 'geglu', 'gelu'; got 'tanh'"),
        (lambda: AttentionBlock(6)(torch.zeros(1, 2, 6), torch.zeros(1, 2, 6)), "self-attention and takes no context"),
        (lambda: AttentionBlock(6, 5)(torch.zeros(1, 2, 6)), "attends to a context, and none was given"),
        (
            lambda: AttentionBlock(6, 5)(torch.zeros(1, 2, 6), torch.zeros(1, 3, 5), torch.ones(1, 4, dtype=bool)),
            r"mask must be \(1, 3\), got \(1, 4\)",
        ),
        (
            lambda: AttentionBlock(6, 5)(
                torch.zeros(1, 2, 6), [Context(torch.zeros(1, 3, 5))], torch.ones(1, 3, dtype=bool)
            ),
            "a structured context carries its own",
        ),
        (lambda: AttentionBlock(6, 5)(torch.zeros(1, 2, 6), []), "the block needs at least one context"),
    ],
)
def test_wrong_calls_are_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
