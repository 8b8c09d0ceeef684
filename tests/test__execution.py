"""Whether values may be looked at: asked within everything that follows a computation."""

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.flop_counter import FlopCounterMode

from perceiver_pytorch._execution import execution, is_eager, is_ordinary

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch", "ignore::FutureWarning:torch")


class Own(Tensor):
    """A tensor of a class of its own."""


def asked_in(run: object) -> str:
    """What `execution` says inside of ``run(function)``."""
    found: list[str] = []

    def function(x: Tensor) -> Tensor:
        found.append(execution(x))
        return x.sum()

    run(function)  # type: ignore[operator]
    assert found
    assert len(set(found)) == 1
    return found[0]


def dual(function: object) -> None:
    with forward_ad.dual_level():
        function(forward_ad.make_dual(torch.ones(3), torch.ones(3)))  # type: ignore[operator]


def fake(function: object) -> None:
    with FakeTensorMode() as mode:
        function(mode.from_tensor(torch.ones(3)))  # type: ignore[operator]


def fake_outside_of_its_mode(function: object) -> None:
    function(FakeTensorMode().from_tensor(torch.ones(3)))  # type: ignore[operator]


def counted(function: object) -> None:
    with FlopCounterMode(display=False):
        function(torch.ones(3))  # type: ignore[operator]


class Calls(nn.Module):
    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)  # type: ignore[operator]


CASES = {
    "a call": ("eager", lambda f: f(torch.ones(3))),
    "autograd": ("eager", lambda f: f(nn.Parameter(torch.ones(3))).backward()),
    "inference": ("eager", torch.inference_mode()(lambda f: f(torch.ones(3)))),
    "meta": ("graph", lambda f: f(torch.ones(3, device="meta"))),
    "fake": ("graph", fake),
    "fake, mode left": ("graph", fake_outside_of_its_mode),
    "counted": ("graph", counted),
    "make_fx": ("graph", lambda f: make_fx(f)(torch.ones(3))),
    "jit.trace": ("export", lambda f: torch.jit.trace(f, torch.ones(3), check_trace=False)),
    "export": ("export", lambda f: torch.export.export(Calls(f), (torch.ones(3),), strict=False)),
    "grad": ("transform", lambda f: torch.func.grad(f)(torch.ones(3))),
    "vmap": ("transform", lambda f: torch.func.vmap(f)(torch.ones(3, 2))),
    "jvp": ("transform", lambda f: torch.func.jvp(f, (torch.ones(3),), (torch.ones(3),))),
    "jacrev": ("transform", lambda f: torch.func.jacrev(f)(torch.ones(3))),
    "functionalize": ("transform", lambda f: torch.func.functionalize(f)(torch.ones(3))),
    "dual": ("transform", dual),
    "a class of its own": ("transform", lambda f: f(torch.ones(3).as_subclass(Own))),
}


@pytest.mark.parametrize(("expected", "run"), CASES.values(), ids=CASES)
def test_who_follows_a_computation(expected: str, run: object) -> None:
    assert asked_in(run) == expected


def test_tensors_that_are_not_there_do_not_count() -> None:
    assert is_eager(None, torch.ones(1), None)
    assert is_eager()
    assert not is_eager(torch.ones(1), torch.ones(1, device="meta"))


def test_tensors_of_a_class_of_their_own_are_not_ordinary() -> None:
    assert is_ordinary(nn.Parameter(torch.ones(1)))
    assert is_ordinary(FakeTensorMode().from_tensor(torch.ones(1)))
    assert not is_ordinary(torch.ones(1).as_subclass(Own))
