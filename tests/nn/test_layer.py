"""Layers: their order of work, their residuals, their names."""

import pytest
import torch
from torch import nn

from perceiver_pytorch.nn import CrossAttend, LatentBlock, LatentTransformer, PerceiverLayer, SingleBlockLayer
from perceiver_pytorch.nn.layer import LayerParts, build_layers
from perceiver_pytorch.nn.sharing import share
from perceiver_pytorch.nn.sizes import Sizes
from perceiver_pytorch.ops import Context

SIZES = Sizes(depth=2, cross_heads=1, cross_dim_head=4, latent_heads=2, latent_dim_head=4)
PARTS = LayerParts(sizes=SIZES, input_dim=5, activation="gelu")


def block() -> LatentBlock:
    return PARTS.latent_block(6)


@pytest.mark.parametrize("double_residual", [True, False])
def test_a_layer_reads_feeds_forward_and_transforms(double_residual: bool) -> None:
    cross, feed_forward, transformer = (
        PARTS.cross_attend(6),
        PARTS.feed_forward(6),
        LatentTransformer([block(), block()]),
    )
    layer = PerceiverLayer(cross, feed_forward, transformer, double_residual=double_residual)
    x, context = torch.randn(2, 3, 6), [Context(torch.randn(2, 7, 5))]

    y = cross(x, context=context) + x
    y = feed_forward(y) + y
    z = y
    for part in transformer.latent_blocks:
        z = part[0](z) + z
        z = part[1](z) + z
    assert torch.equal(layer(x, context), z + y if double_residual else z)


def test_a_single_block_layer_has_four_parts_and_single_residuals() -> None:
    cross, feed_forward, latent = PARTS.cross_attend(6), PARTS.feed_forward(6), block()
    layer = SingleBlockLayer(cross, feed_forward, latent)
    assert len(layer) == 4
    x, context = torch.randn(2, 3, 6), [Context(torch.randn(2, 7, 5))]
    expected = PerceiverLayer(cross, feed_forward, LatentTransformer([latent]), double_residual=False)
    assert torch.equal(layer(x, context), expected(x, context))


def test_entries_have_names_and_unpack() -> None:
    layer = PerceiverLayer(PARTS.cross_attend(6), PARTS.feed_forward(6), LatentTransformer([block()]))
    cross, feed_forward, transformer = layer
    assert cross is layer.cross_attend
    assert feed_forward is layer.feed_forward
    assert transformer is layer.latent_transformer
    assert {name.split(".")[0] for name in layer.state_dict()} == {"0", "1", "2"}


def test_a_transformer_knows_how_many_blocks_it_has() -> None:
    assert [LatentTransformer([block()] * number).num_latent_blocks_per_layer for number in (0, 1, 3)] == [0, 1, 3]


def test_a_single_block_layer_may_have_several_blocks() -> None:
    cross, feed_forward, first, second = PARTS.cross_attend(6), PARTS.feed_forward(6), block(), block()
    x, context = torch.randn(2, 3, 6), [Context(torch.randn(2, 7, 5))]
    expected = PerceiverLayer(cross, feed_forward, LatentTransformer([first, second]), double_residual=False)
    assert torch.equal(SingleBlockLayer(cross, feed_forward, first, second)(x, context), expected(x, context))


def test_a_transformer_without_blocks_changes_nothing() -> None:
    x = torch.randn(2, 3, 6)
    assert torch.equal(LatentTransformer([])(x), x)


def test_parts_have_fresh_weights_and_the_given_sizes() -> None:
    first, second = PARTS.cross_attend(6), PARTS.cross_attend(6)
    assert isinstance(first, CrossAttend)
    assert first.fn.to_kv.weight.shape == (2 * 4, 5)
    assert not torch.equal(first.fn.to_kv.weight, second.fn.to_kv.weight)
    attention, feed_forward = block()
    assert attention.fn.heads == 2
    assert any(isinstance(module, nn.GELU) for module in feed_forward.modules())


def test_every_size_goes_where_it_belongs() -> None:
    sizes = Sizes(
        depth=1, cross_heads=3, cross_dim_head=5, latent_heads=2, latent_dim_head=7, attn_dropout=0.25, ff_dropout=0.5
    )
    parts = LayerParts(sizes=sizes, input_dim=9, activation="geglu", widening_factor=6)
    cross, feed_forward, (attention, _) = parts.cross_attend(8), parts.feed_forward(8), parts.latent_block(8)
    assert cross.fn.to_q.weight.shape == (15, 8)
    assert cross.fn.to_kv.weight.shape == (30, 9)
    assert cross.fn.heads == 3
    assert attention.fn.to_q.weight.shape == (14, 8)
    assert {tuple(w.shape) for w in feed_forward.parameters() if w.dim() == 2} == {(96, 8), (8, 48)}
    for part, rate in ((cross, 0.25), (attention, 0.25), (feed_forward, 0.5)):
        assert {module.p for module in part.modules() if isinstance(module, nn.Dropout)} == {rate}
    assert LayerParts(sizes=sizes, input_dim=9, activation="gelu").widening_factor == 4


@pytest.mark.parametrize("rule", ["release", "paper"])
@pytest.mark.parametrize("tie", [False, True])
def test_layers_are_shared_as_the_plan_says(rule: str, tie: bool) -> None:
    plan = share(3, 2, tie=tie, rule=rule)
    layers = build_layers(PARTS, [6, 6, 6], plan)
    for layer, sharing in zip(layers, plan, strict=True):
        assert layer.cross_attend is layers[sharing.cross].cross_attend
        assert layer.feed_forward is layers[sharing.cross].feed_forward
        for j, owner in enumerate(sharing.blocks):
            assert layer.latent_transformer.latent_blocks[j] is layers[owner].latent_transformer.latent_blocks[j]
    distinct = len({id(layer.cross_attend) for layer in layers})
    assert distinct == (2 if tie else 3)


def test_layers_are_of_the_kind_asked_for() -> None:
    plan = share(2, 1, tie=False, rule="release")
    assert all(isinstance(layer, SingleBlockLayer) for layer in build_layers(PARTS, [6, 6], plan, single_block=True))
    for double_residual in (True, False):
        for layer in build_layers(PARTS, [6, 8], plan, double_residual=double_residual):
            assert isinstance(layer, PerceiverLayer)
            assert layer.double_residual is double_residual
    assert all(layer.double_residual for layer in build_layers(PARTS, [6, 8], plan))
    assert PerceiverLayer(*build_layers(PARTS, [6, 8], plan)[0]).double_residual


def test_layers_are_made_in_the_order_of_the_release() -> None:
    torch.manual_seed(5)
    layers = build_layers(PARTS, [6, 6], share(2, 2, tie=True, rule="release"))
    torch.manual_seed(5)
    made = [PARTS.cross_attend(6), PARTS.feed_forward(6), PARTS.latent_block(6), PARTS.latent_block(6)]
    made += [PARTS.cross_attend(6), PARTS.feed_forward(6), PARTS.latent_block(6)]
    found = [part for cross, feed_forward, latents in layers for part in (cross, feed_forward, *latents.latent_blocks)]
    for part, fresh in zip(found, [*made, made[3]], strict=True):  # the second block is one and the same in both
        for weight, value in zip(part.parameters(), fresh.parameters(), strict=True):
            assert torch.equal(weight, value)
