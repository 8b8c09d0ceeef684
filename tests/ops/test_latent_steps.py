"""Parts as they are told to loops, and as PyTorch computes them."""

import torch

from perceiver_pytorch.ops.latent_steps import LatentPart, computed, planned


def test_a_weight_that_parts_share_is_there_once() -> None:
    first, last = torch.randn(6, 4), torch.randn(4, 6)
    part = LatentPart("gelu", None, None, 1e-5, first, None, last, None)
    plan, tensors = planned([part, part], None)
    assert [id(tensor) for tensor in tensors] == [id(first), id(last)]
    assert plan.shapes[0].indices == (-1, -1, 0, -1, -1, 1, -1)
    assert plan.shapes[0] == plan.shapes[1]
    assert [made.tensors for made in plan.parts(tensors)] == [part.tensors, part.tensors]


def test_what_is_kept_is_added_at_the_end() -> None:
    x = torch.randn(2, 3, 4)
    part = LatentPart("gelu", None, None, 1e-5, torch.randn(6, 4), None, torch.zeros(4, 6), torch.ones(4))
    for keep, times in ((None, 2), (0, 2), (1, 3), (2, 4)):
        plan, tensors = planned([part, part], keep)
        out, states = computed(x, plan, tensors)
        torch.testing.assert_close(out, (x if keep is None else 2 * x) + times)
        torch.testing.assert_close(states[1], x + 1)
