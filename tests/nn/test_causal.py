"""Causal masks and kept keys and values."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from perceiver_pytorch.nn.causal import CausalAttention, CausalLayer, KeyValues, Places, causal_mask
from perceiver_pytorch.nn.rotary import rotary_table, rotate

CPU = torch.device("cpu")


def test_queries_stand_at_the_last_keys():
    assert causal_mask(4, 4, None, CPU) is None
    assert causal_mask(1, 9, None, CPU) is None
    mask = causal_mask(2, 4, None, CPU)
    assert mask.shape == (1, 1, 2, 4)
    assert mask[0, 0].tolist() == [[True, True, True, False], [True] * 4]


def test_padding_is_seen_by_itself_alone():
    mask = causal_mask(3, 3, torch.tensor([[False, True, True]]), CPU)
    assert mask.shape == (1, 1, 3, 3)
    assert mask[0, 0].tolist() == [[True, False, False], [False, True, False], [False, True, True]]


def test_kept_keys_and_values_come_back_in_order():
    parts = [torch.randn(2, 3, n, 4) for n in (2, 1, 3)]
    kept = KeyValues(6)
    for part in parts:
        key, value = kept.append(part, -part)
    assert torch.equal(key, torch.cat(parts, 2))
    assert torch.equal(value, -key)
    assert kept.length == 6


def plain_attention(module: CausalAttention, x, context, places, visible):
    """Written out: every score, masked, per head."""
    heads = module.heads
    query = rotate(module.to_q(x).unflatten(-1, (heads, -1)).transpose(1, 2), places.queries)
    key, value = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in module.to_kv(context).chunk(2, -1))
    scores = query @ rotate(key, places.keys).transpose(-1, -2) * query.shape[-1] ** -0.5
    mixed = scores.masked_fill(~visible, -torch.inf).softmax(-1) @ value
    return module.to_out(mixed.transpose(1, 2).flatten(2))


def places_of(queries, keys, mask=None, width=4):
    table = rotary_table(torch.arange(keys), width).double()
    return Places(table[-queries:], table, mask)


@pytest.mark.parametrize(("queries", "keys"), [(3, 3), (1, 3), (2, 5)])
def test_attention_is_the_softmax_of_what_may_be_seen(queries, keys):
    module = CausalAttention(6, 5, heads=2, dim_head=4).double()
    x, context = torch.randn(2, queries, 6).double(), torch.randn(2, keys, 5).double()
    visible = torch.arange(keys) <= torch.arange(keys - queries, keys)[:, None]
    places = places_of(queries, keys, causal_mask(queries, keys, None, CPU))
    torch.testing.assert_close(module(x, context, places), plain_attention(module, x, context, places, visible))


def test_a_kept_context_is_attended_to_as_if_it_were_given_again():
    module = CausalAttention(6, 6, heads=2, dim_head=4).double()
    tokens = torch.randn(2, 5, 6).double()
    whole = module(tokens, tokens, places_of(5, 5))
    kept, table = KeyValues(5), places_of(5, 5).keys
    for at in range(5):
        one = tokens[:, at : at + 1]
        last = module(one, one, Places(table[at : at + 1], table[at : at + 1], None), kept)
        torch.testing.assert_close(last, whole[:, at : at + 1])


def test_attention_has_biases_in_its_last_layer_alone():
    module = CausalAttention(6, 5, heads=2, dim_head=4)
    shapes = {name: tuple(value.shape) for name, value in module.named_parameters()}
    assert shapes == {"to_q.weight": (8, 6), "to_kv.weight": (16, 5), "to_out.weight": (6, 8), "to_out.bias": (6,)}


def test_dropout_acts_on_what_attention_gives():
    module = CausalAttention(6, 6, heads=1, dim_head=4, dropout=1.0).double()
    x = torch.randn(1, 3, 6).double()
    assert not module(x, x, places_of(3, 3)).any()


@pytest.mark.parametrize("context_dim", [None, 5])
def test_a_layer_adds_attention_and_feed_forward_to_what_it_is_given(context_dim):
    layer = CausalLayer(6, context_dim, heads=2, dim_head=4).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    x, context = torch.randn(2, 3, 6).double(), None if context_dim is None else torch.randn(2, 3, 5).double()
    places = places_of(3, 3)
    normed = F.layer_norm(x, (6,), layer.norm.weight, layer.norm.bias)
    if context_dim is None:
        read = normed
    else:
        read = F.layer_norm(context, (5,), layer.norm_context.weight, layer.norm_context.bias)
    middle = x + layer.attention(normed, read, places)
    torch.testing.assert_close(layer(x, places, context), middle + layer.feed_forward(middle))


def test_a_layer_is_made_as_it_is_asked_for():
    default = CausalLayer(6, heads=2, dim_head=4)
    assert default.feed_forward.fn.net[0].out_features == 24
    assert (default.attention.dropout.p, default.norm_context) == (0.0, None)
    layer = CausalLayer(6, 5, heads=2, dim_head=4, attn_dropout=0.2, widening_factor=3, ff_dropout=0.3)
    assert layer.attention.dropout.p == 0.2
    assert layer.feed_forward.fn.net[0].out_features == 18
    assert [part.p for part in layer.feed_forward.modules() if isinstance(part, nn.Dropout)] == [0.3]
    assert layer.attention.to_kv.in_features == 5
