"""The module: a normalised dense attention by another route, with the release's parameters."""

import pytest
import torch

from perceiver_pytorch.nn import Attention, CrossAttend, PreNorm
from perceiver_pytorch.ops import Context


@pytest.fixture
def module() -> CrossAttend:
    module = CrossAttend(latent_dim=6, input_dim=10, heads=2, dim_head=4)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module.double()


@pytest.fixture
def classical(module: CrossAttend) -> PreNorm:
    """Release 1.4.0's construction of the same, with the same weights."""
    classical = PreNorm(6, Attention(6, 10, heads=2, dim_head=4), context_dim=10).double()
    classical.load_state_dict(module.state_dict(), strict=True)
    return classical


def test_parameters_are_those_of_the_classical_construction(module: CrossAttend, classical: PreNorm) -> None:
    assert list(module.state_dict()) == list(classical.state_dict())


@pytest.mark.parametrize("masked", [False, True])
def test_reads_structured_contexts_as_the_classical_construction_reads_dense_ones(
    module: CrossAttend, classical: PreNorm, masked: bool
) -> None:
    x = torch.randn(2, 3, 6).double()
    contexts = [
        Context(torch.randn(2, 4, 5, 2).double(), (torch.randn(4, 3).double(), torch.randn(5, 3).double()), padding=2),
        Context(torch.randn(2, 7, 1).double(), (torch.randn(7, 6).double(),), torch.randn(3).double()),
    ]
    if masked:
        contexts = [Context(c.data, c.tables, c.code, c.padding, torch.rand(c.data.shape[:-1]) > 0.3) for c in contexts]
    dense = torch.cat([context.dense() for context in contexts], dim=1)
    mask = torch.cat([context.mask.flatten(1) for context in contexts], dim=1) if masked else None
    expected = classical(x, context=dense, mask=mask)
    torch.testing.assert_close(module(x, context=contexts), expected)
    torch.testing.assert_close(module(x, context=dense, mask=mask), expected)


def test_mask_of_a_dense_context_may_have_axes(module: CrossAttend) -> None:
    x, dense, mask = torch.randn(2, 3, 6).double(), torch.randn(2, 12, 10).double(), torch.rand(2, 3, 4) > 0.5
    assert torch.equal(module(x, dense, mask), module(x, dense, mask.flatten(1)))


@pytest.mark.usefixtures("user_view")
def test_wrong_calls_are_refused(module: CrossAttend) -> None:
    x, dense = torch.randn(2, 3, 6).double(), torch.randn(2, 12, 10).double()
    with pytest.raises(ValueError, match="a structured context carries its own"):
        module(x, [Context(dense)], mask=torch.ones(2, 12, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"mask must be \(2, 12\), got \(2, 11\)"):
        module(x, dense, torch.ones(2, 11, dtype=torch.bool))
    with pytest.raises(ValueError, match="the weights' 10 channels, got 2 and 9"):
        module(x, dense[..., :9])
    with pytest.raises(ValueError, match="at least one context"):
        module(x, [])


def test_defaults_are_one_head_of_64_channels_and_no_dropout() -> None:
    module = CrossAttend(6, 10)
    assert (module.fn.heads, module.fn.to_q.out_features, module.fn.to_kv.out_features) == (1, 64, 128)
    assert [part.p for part in module.modules() if isinstance(part, torch.nn.Dropout)] == [0.0]
    assert [part.p for part in CrossAttend(6, 10, dropout=0.4).modules() if isinstance(part, torch.nn.Dropout)] == [0.4]
    assert (module.norm.normalized_shape, module.norm_context.normalized_shape) == ((6,), (10,))
