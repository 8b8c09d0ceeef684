"""Attention by a loop over tiles, against attention to all tokens at once."""

import pytest
import torch

from export_helpers import unchecked
from perceiver_pytorch.ops import Context, cross_attend
from perceiver_pytorch.ops.projected import attend_projected
from perceiver_pytorch.ops.tiled import attend_tiles, by_tiles, tile_of


def problem(axes, *, own_places=False, masked=True):
    torch.manual_seed(0)
    batch, channels = 2, 3
    tables = tuple(
        torch.randn(*((batch,) if own_places and i == 0 else ()), length, 2 + i) for i, length in enumerate(axes)
    )
    mask = torch.rand(batch, *axes) > 0.4 if masked else None
    if mask is not None:
        mask[1] = False
    context = Context(torch.randn(batch, *axes, channels), tables, torch.randn(2), 1, mask)
    width = context.num_channels
    query, key, value = torch.randn(batch, 2, 5, 4), torch.randn(2, 4, width), torch.randn(2, 6, width)
    return query, context, key, value, torch.rand(width) + 0.5


@pytest.mark.parametrize("tile", [1, 4, 7, 30, 100])
@pytest.mark.parametrize("axes", [(13,), (5, 6), (2, 3, 4)])
def test_tiles_together_are_the_whole(tile, axes):
    query, context, *weights = problem(axes)
    expected, sums = attend_projected(query, context, *weights, 1e-5)
    found, found_sums = attend_tiles(attend_projected, tile, query, context, *weights, 1e-5)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found_sums, sums, rtol=1e-5, atol=1e-5)
    assert (found[1] == 0).all()  # no token of that sample is real
    assert (found_sums[1] == -torch.inf).all()


@pytest.mark.parametrize("masked", [False, True])
def test_samples_may_have_places_of_their_own(masked):
    query, context, *weights = problem((4, 5), own_places=True, masked=masked)
    expected, _ = attend_projected(query, context, *weights, 1e-5)
    found, _ = attend_tiles(attend_projected, 6, query, context, *weights, 1e-5)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_only_what_is_exported_is_read_by_tiles():
    _, context, *_ = problem((13,))
    with by_tiles(4):
        assert tile_of(context) is None
    with pytest.raises(ValueError, match="at least 1"), by_tiles(0):
        pass


class Reads(torch.nn.Module):
    """A cross-attend of 13 latents onto a grid of any size."""

    def __init__(self):
        super().__init__()
        self.rows, self.key, self.value = (torch.nn.Parameter(torch.randn(13, 8)) for _ in range(3))

    def forward(self, data):
        weights = {"key_weight": self.key[:8, :3], "value_weight": self.value[:8, :3]}
        queries = self.rows.expand(data.shape[0], -1, -1)
        return cross_attend(queries, [Context(data)], norm_weight=None, norm_bias=None, **weights)


def sizes_of(program):
    """The shapes of all tensors of a program, and of the programs within it."""
    for module in program.graph_module.modules():
        for node in getattr(module, "graph", torch.fx.Graph()).nodes:
            if isinstance(node.meta.get("val"), torch.Tensor):
                yield tuple(node.meta["val"].shape)


def test_no_tensor_of_a_graph_has_latents_and_more_than_a_tile_of_tokens():
    dims = {"data": {1: torch.export.Dim("height", min=3, max=99), 2: torch.export.Dim("width", min=3, max=99)}}
    model, data = Reads(), torch.randn(2, 5, 7, 3)

    def most_beside_latents():
        program = torch.export.export(model, (data,), dynamic_shapes=dims, strict=False)
        for given in (data, torch.randn(2, 9, 11, 3)):
            torch.testing.assert_close(program.module()(given), model(given), rtol=1e-5, atol=1e-5)
        with_latents = [set(shape[1:]) - {13} for shape in sizes_of(program) if 13 in shape[1:]]
        return {size for shape in with_latents for size in shape}

    with unchecked(), torch.no_grad():
        assert 4 not in most_beside_latents()
        with by_tiles(4):
            found = most_beside_latents()
    assert 4 in found  # scores of a tile
    assert all(isinstance(size, int) and size <= 8 for size in found)
