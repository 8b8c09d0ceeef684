from itertools import pairwise

import pytest
import torch

from perceiver_pytorch.nn.randomness import Dropout, Share, integers, sharing, uniform

CPU = torch.device("cpu")


def drawn(work, start, stop, total):
    generator = torch.Generator().manual_seed(7)
    with sharing(Share(start, stop, total, generator)):
        return work(slice(start, stop))


def joined(work, bounds=(0, 2, 3, 7), axis=0):
    """What threads for these rows draw."""
    total = bounds[-1]
    return torch.cat([drawn(work, a, b, total) for a, b in pairwise(bounds)], dim=axis)


@pytest.mark.parametrize(
    "draw",
    [
        lambda rows: uniform((rows.stop - rows.start, 3), CPU),
        lambda rows: integers(100, (rows.stop - rows.start,), CPU),
        lambda rows: Dropout(0.4)(torch.arange(1.0, 57.0).view(7, 4, 2)[rows]),
        lambda rows: Dropout(0.4)(torch.arange(1.0, 57.0).view(28, 2)[rows.start * 4 : rows.stop * 4]),
        lambda rows: torch.cat(
            [uniform((rows.stop - rows.start, 5), CPU), uniform((rows.stop - rows.start, 1), CPU)], 1
        ),
    ],
)
def test_parts_draw_what_the_whole_batch_draws(draw):
    torch.manual_seed(7)
    assert torch.equal(joined(draw), draw(slice(0, 7)))


def test_rows_may_be_another_axis():
    torch.manual_seed(7)
    whole = uniform((3, 7), CPU, rows=1)
    assert torch.equal(joined(lambda rows: uniform((3, rows.stop - rows.start), CPU, rows=1), axis=1), whole)


def test_a_number_for_all_rows_is_the_same_in_every_part():
    torch.manual_seed(7)
    whole = uniform((), CPU)
    assert drawn(lambda rows: uniform((), CPU), 4, 7, 7) == whole


def test_dropout_does_what_pytorchs_does():
    x = torch.randn(50, 40)
    torch.manual_seed(3)
    ours = Dropout(0.3)(x)
    torch.manual_seed(3)
    assert torch.equal(ours, torch.nn.functional.dropout(x, 0.3))
    assert torch.equal(Dropout(0.3).eval()(x), x)
    assert not drawn(lambda rows: Dropout(1.0)(x[rows]), 0, 2, 4).any()
