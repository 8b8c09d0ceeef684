"""Layers of Perceiver IO: what they share, and in what order their blocks work."""

from functools import partial

import torch

from perceiver_pytorch.nn import AttentionBlock
from perceiver_pytorch.nn.io_layer import IOLayer, build_io_layers
from perceiver_pytorch.ops import Context

CROSS, LATENT = partial(AttentionBlock, 6, 5), partial(AttentionBlock, 6)


def test_blocks_follow_the_cross_attend_and_leave_their_latents() -> None:
    layer = IOLayer(CROSS(), [LATENT(), LATENT()], num_repeats=2)
    x, context, states = torch.randn(2, 3, 6), [Context(torch.randn(2, 7, 5))], []
    expected = [layer.cross_attend(x, context)]
    for block in (*layer.latent_blocks, *layer.latent_blocks):
        expected.append(block(expected[-1]))
    output = layer(x, context, hidden_states=states)
    assert torch.equal(output, expected[-1])
    assert all(torch.equal(*pair) for pair in zip(states, expected, strict=True))


def test_tied_layers_share_blocks_and_all_but_the_first_cross_attend() -> None:
    first, second, third = build_io_layers(CROSS, LATENT, depth=3, num_blocks=2, num_repeats=1, tie=True)
    assert first.cross_attend is not second.cross_attend
    assert second.cross_attend is third.cross_attend
    assert [*first.latent_blocks] == [*second.latent_blocks] == [*third.latent_blocks]
    untied = build_io_layers(CROSS, LATENT, depth=3, num_blocks=2, num_repeats=1, tie=False)
    assert len({id(block) for layer in untied for block in (layer.cross_attend, *layer.latent_blocks)}) == 9
