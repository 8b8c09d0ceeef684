"""Weights of a cross-attend against a dense float64 softmax."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from perceiver_pytorch.ops import Context
from perceiver_pytorch.ops import weights as module
from perceiver_pytorch.ops.weights import AttentionWeights, boxes, part_of

BATCH, HEADS, LATENTS, DIM, CHANNELS = 2, 2, 3, 4, 12


def contexts(masked=True):
    torch.manual_seed(0)
    picture = Context(
        torch.randint(0, 255, (BATCH, 4, 5, 3), dtype=torch.uint8),
        (torch.randn(4, 2), torch.randn(BATCH, 5, 3)),
        torch.tensor([1.0, 0.0]),
        padding=2,
        mask=torch.rand(BATCH, 4, 5) < 0.7 if masked else None,
        scale=torch.full((3,), 2 / 255),
        offset=torch.full((3,), -1.0),
    )
    order = torch.randperm(CHANNELS)
    sound = Context(torch.randn(BATCH, 7, 6), (torch.randn(7, 4),), torch.tensor([0.0, 1.0]), order=order)
    return [picture, sound]


def made(given, **changes):
    torch.manual_seed(1)
    query = torch.randn(BATCH, HEADS, LATENTS, DIM, dtype=torch.float64)
    return AttentionWeights(query, given, key_weight=torch.randn(HEADS, DIM, CHANNELS, dtype=torch.float64), **changes)


def dense(weights):
    """Softmax over the tokens of the whole input array, in float64."""
    tokens = torch.cat([context.dense(torch.float64) for context in weights.contexts], 1)
    keys = torch.einsum("btc,hdc->bhtd", F.layer_norm(tokens, tokens.shape[-1:]), weights.key_weight)
    scores = weights.query @ keys.mT
    seen = [
        torch.ones(BATCH, c.num_tokens, dtype=torch.bool) if c.mask is None else c.mask.flatten(1)
        for c in weights.contexts
    ]
    return scores.masked_fill(~torch.cat(seen, 1)[:, None, None], -torch.inf).softmax(-1).nan_to_num(0.0)


def flat(parts):
    return torch.cat([part.flatten(3) for part in parts], -1)


@pytest.mark.parametrize("at_once", [1, 7, 60, 10_000])
def test_weights_are_those_of_a_dense_softmax_whatever_the_size_of_a_tile(at_once, monkeypatch):
    monkeypatch.setattr(module, "MOST_AT_ONCE", at_once)
    weights = made(contexts())
    torch.testing.assert_close(flat(weights.of()), dense(weights), rtol=1e-9, atol=1e-12)


def test_weights_of_some_latents_and_heads_are_theirs_alone():
    weights = made(contexts())
    found = flat(weights.of(latents=[2, 0], heads=[1]))
    torch.testing.assert_close(found, dense(weights)[:, [1]][:, :, [2, 0]], rtol=1e-9, atol=1e-12)


def test_sums_over_latents_are_those_of_the_weights():
    weights = made(contexts())
    factors = torch.rand(BATCH, 4, HEADS, LATENTS, dtype=torch.float64)
    found = torch.cat([part.flatten(2) for part in weights.summed(factors)], -1)
    torch.testing.assert_close(found, torch.einsum("bohn,bhnt->bot", factors, dense(weights)), rtol=1e-9, atol=1e-12)


def test_keys_that_are_called_give_the_same_as_folded_weights():
    folded = made(contexts())

    def keys(tokens):
        return torch.einsum("btc,hdc->bhtd", F.layer_norm(tokens, tokens.shape[-1:]), folded.key_weight)

    called = AttentionWeights(folded.query, folded.contexts, keys)
    torch.testing.assert_close(flat(called.of(heads=[1])), flat(folded.of(heads=[1])), rtol=1e-9, atol=1e-12)


def test_a_row_without_tokens_has_no_weights():
    given = contexts()[:1]
    given[0].mask[1] = False
    found = made(given).of()[0]
    assert found[1].abs().max() == 0
    torch.testing.assert_close(found[0].flatten(2).sum(-1), torch.ones(HEADS, LATENTS, dtype=torch.float64))


def test_tiles_hold_no_more_weights_than_they_may(monkeypatch):
    monkeypatch.setattr(module, "MOST_AT_ONCE", 40)
    assert max(tile.weights.numel() for tile in made(contexts()).tiles()) <= 40


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(1, 50))
def test_boxes_have_every_token_once(axes, most):
    seen = torch.zeros(axes, dtype=torch.long)
    for box in boxes(axes, most):
        assert seen[box].numel() <= most
        seen[box] += 1
    assert (seen == 1).all()


def test_part_of_a_context_has_its_tokens():
    (context, _) = contexts()
    box = (slice(1, 3), slice(2, 5))
    whole = context.dense().unflatten(1, context.axes)
    assert torch.equal(part_of(context, box).dense(), whole[:, 1:3, 2:5].flatten(1, 2))
