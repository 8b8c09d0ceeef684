"""The feed-forward parts of release 1.4.0."""

import pytest
import torch
import torch.nn.functional as F

from perceiver_pytorch.nn import GEGLU, FeedForward, FeedForwardGELU
from perceiver_pytorch.ops import linear
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


@pytest.fixture(params=[True, False], ids=["within", "apart"])
def within(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether products take the activation along, which they cannot everywhere."""
    if not request.param:
        monkeypatch.setattr(linear, "_available", lambda: False)
    elif not linear._available():
        pytest.skip("PyTorch has no oneDNN here, whose products take the activation along")
    return request.param


@pytest.fixture
def within_in_bfloat16(within: bool, monkeypatch: pytest.MonkeyPatch) -> bool:
    """The same in bfloat16, which oneDNN does not multiply on every processor."""
    if not within:
        monkeypatch.undo()
        monkeypatch.setattr(linear, "_bfloat16", lambda: False)
    elif not linear._bfloat16():
        pytest.skip("oneDNN does not multiply bfloat16 on this processor")
    return within


@pytest.mark.parametrize("part", [FeedForward, FeedForwardGELU])
def test_without_gradients_the_activation_is_computed_within_the_product(part: type, within: bool) -> None:
    torch.manual_seed(0)
    module, x = part(256, dropout=0.1).eval(), torch.randn(2, 80, 256)
    expected, exact = module(x).detach(), part(256).double()
    exact.load_state_dict(module.state_dict())
    truth = exact.eval()(x.double()).detach()
    with torch.no_grad():
        assert module.net._fuses(x) == within
        fused = module(x)
    assert (fused - truth).abs().max() <= 2 * (expected - truth).abs().max()


@pytest.mark.parametrize("autocast", [True, False])
@pytest.mark.parametrize("part", [FeedForward, FeedForwardGELU])
def test_the_same_in_bfloat16(part: type, autocast: bool, within_in_bfloat16: bool) -> None:
    torch.manual_seed(0)
    module, x = part(256).eval(), torch.randn(2, 80, 256)
    exact = module.double()(x.double()).detach()
    module, x = (module.float(), x) if autocast else (module.bfloat16(), x.bfloat16())
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        plain = module(x)
        with torch.no_grad():
            assert module.net._fuses(x) == within_in_bfloat16
            fused = module(x)
    assert fused.dtype == plain.dtype == torch.bfloat16
    assert (fused - exact).abs().max() <= 2 * (plain - exact).abs().max()


def test_whoever_listens_to_a_part_or_replaced_one_is_heard() -> None:
    module, x = FeedForwardGELU(256), torch.randn(160, 256)
    heard: list[torch.Size] = []
    handle = module.net[1].register_forward_hook(lambda part, given, out: heard.append(out.shape))
    with torch.no_grad():
        module(x)
        assert heard == [torch.Size([160, 1024])]
        handle.remove()
        module.net[1] = torch.nn.ReLU()
        torch.testing.assert_close(module(x), module.net[3](module.net[0](x).relu()))
        module.train()
        module.net[2].p = 0.5
        assert not torch.equal(module(x), module(x))
