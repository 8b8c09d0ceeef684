"""What the backends by parts have in common."""

import torch

from perceiver_pytorch.ops import Context
from perceiver_pytorch.ops.structured import Channels, by_axis, combinations, weighted_sum


def test_channels_are_taken_apart_and_put_together_again() -> None:
    context = Context(torch.zeros(1, 4, 5, 3), (torch.zeros(4, 2), torch.zeros(5, 6)), torch.zeros(7), padding=1)
    channels = Channels(context, [1])
    rows = torch.randn(1, 2, context.num_channels)
    data, near, far = channels.split(rows)
    assert (data.shape[-1], near.shape[-1], far.shape[-1]) == (3, 6, 2 + 7)
    expected = rows.clone()
    expected[..., 3] = 0.0  # the padding
    assert torch.equal(channels.merge(data, near, far), expected)


def test_by_axis_is_the_opposite_of_combinations() -> None:
    tables = [torch.randn(1, 4, 2), torch.randn(1, 5, 3)]
    parts = list(by_axis(combinations(tables), [4, 5], [2, 3]))
    for table, (part, others) in zip(tables, parts, strict=True):
        torch.testing.assert_close(part.mean(others), table)


def test_a_sum_in_pieces_is_the_sum() -> None:
    weights, table = torch.randn(2, 3, 1300, dtype=torch.float64), torch.randn(1, 1300, 4, dtype=torch.float64)
    torch.testing.assert_close(weighted_sum(weights, table), weights @ table)
