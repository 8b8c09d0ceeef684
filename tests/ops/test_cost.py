"""The choice between ways to compute a cross-attend."""

import sys

import pytest
import torch

from ops.problems import Problem, Spec
from perceiver_pytorch.ops import Context, attend, cost, cross_attend, use_backend
from perceiver_pytorch.ops.backends import chunked, compiled, reference


def context(axes: tuple[int, ...], channels: int, features: int = 13) -> Context:
    tables = tuple(torch.zeros(length, features) for length in axes)
    return Context(torch.zeros(1, *axes, channels), tables, torch.zeros(3))


SHAPES = {
    "video": (context((8, 130, 130), 3), 12, "compiled"),
    "image, many rows": (context((224, 224), 3), 256, "compiled"),
    "sound": (context((44_100,), 1), 12, "compiled"),
    "a few tokens": (context((64,), 3), 12, "dense"),
    "text embeddings": (context((512,), 768), 256, "projected"),
    "many channels, more than may be formed": (context((300, 300), 500), 64, "chunked"),
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("tokens", "rows", "expected"), SHAPES.values(), ids=SHAPES)
def test_choice_fits_the_shape(tokens: Context, rows: int, expected: str, training: bool) -> None:
    ways = cost.WAYS if tokens.data.shape[-1] <= compiled.MAX_CHANNELS else cost.WAYS[1:]
    best, *_ = cost.ranking(ways, tokens, rows, 64, training=training)
    assert best in (("reference", "projected") if expected == "dense" else (expected,))


@pytest.mark.parametrize("way", cost.WAYS)
def test_counts_and_factors_belong_together(way: str) -> None:
    tokens = context((5, 6), 3)
    assert len(cost.FORWARD[way]) == len(cost.TRAINING[way]) == len(cost.counts(way, tokens, 4, 8))
    more = cost.estimate(way, context((50, 60), 3), 4, 8, training=True)
    assert 0 < cost.estimate(way, tokens, 4, 8, training=True) < more


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    for way in (compiled, chunked, reference):

        def attend(*arguments: object, of: object = way, original: object = way.attend) -> object:
            names.append(of.name)
            return original(*arguments)

        monkeypatch.setattr(way, "attend", attend)
    module = sys.modules["perceiver_pytorch.ops.cross_attend"]  # the package has a function of this name
    by_keys = module.attend_projected
    monkeypatch.setattr(module, "attend_projected", lambda *a: (names.append("projected"), by_keys(*a))[1])
    return names


def test_every_context_is_read_in_its_own_way(used: list[str]) -> None:
    """A large context by compiled loops, one of many channels by keys and values: as one softmax."""
    p = Problem.of(Spec((60, 80)), Spec((20,), channels=300, features=2), latents=40, dim_head=16, dtype=torch.float32)
    inputs = p.requires_grad()
    output = cross_attend(**p.arguments())
    assert used == ["projected", "compiled"]
    found = torch.autograd.grad(output.square().sum(), list(inputs.values()))
    with use_backend("reference"):
        expected = cross_attend(**p.arguments())
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-6)
    exact = torch.autograd.grad(expected.square().sum(), list(inputs.values()))
    for got, value in zip(found, exact, strict=True):
        torch.testing.assert_close(got, value, rtol=1e-3, atol=1e-5 * value.abs().max().item())


def test_rows_are_never_read_by_keys(used: list[str]) -> None:
    tokens = context((64,), 300)
    attend(torch.zeros(1, 4, tokens.num_channels), tokens)
    assert used == ["reference"]
