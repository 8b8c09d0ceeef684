"""The feed-forward parts of release 1.4.0."""

import pytest
import torch
import torch.nn.functional as F

from perceiver_pytorch.nn import GEGLU, FeedForward, FeedForwardGELU
from release import release_names


def test_geglu_gates_its_first_half_by_the_gelu_of_its_second() -> None:
    x = torch.randn(2, 3, 8)
    assert torch.equal(GEGLU()(x), x[..., :4] * F.gelu(x[..., 4:]))


@pytest.mark.parametrize("name", ["FeedForward", "FeedForwardGELU"])
@pytest.mark.parametrize("mult", [1, 4])
def test_equals_the_release(name: str, mult: int) -> None:
    ours, theirs = {c.__name__: c for c in (FeedForward, FeedForwardGELU)}[name], getattr(release_names(), name)
    torch.manual_seed(1)
    module = ours(6, mult=mult)
    torch.manual_seed(1)
    expected = theirs(6, mult=mult)
    assert [(k, v.shape) for k, v in module.state_dict().items()] == [
        (k, v.shape) for k, v in expected.state_dict().items()
    ]
    x = torch.randn(2, 3, 6)
    assert torch.equal(module(x), expected(x))


@pytest.mark.parametrize("part", [FeedForward, FeedForwardGELU])
def test_dropout_acts_in_training_alone(part: type) -> None:
    module, x = part(6, dropout=0.5), torch.randn(2, 3, 6)
    assert not torch.equal(module(x), module(x))
    module.eval()
    assert torch.equal(module(x), module(x))
