"""The operator's choice of a backend, and the calls it refuses."""

from dataclasses import replace

import pytest
import torch

from ops.problems import Problem, Spec
from perceiver_pytorch.ops import attend, cost, cross_attend, use_backend
from perceiver_pytorch.ops.backends import chunked, compiled, reference


@pytest.fixture
def problem() -> Problem:
    return Problem.of(Spec(), Spec((7,)), heads=2)


@pytest.fixture
def in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ways are tried in the order of the table, whatever they cost."""
    monkeypatch.setattr(cost, "ranking", lambda ways, *arguments, **options: list(ways))


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the backends that were called."""
    calls: list[str] = []
    for module in (compiled, chunked, reference):

        def attend(*arguments: object, of: object = module, original: object = module.attend) -> object:
            calls.append(of.name)
            return original(*arguments)

        monkeypatch.setattr(module, "attend", attend)
    return calls


@pytest.mark.usefixtures("in_order")
def test_the_first_backend_that_takes_it_is_used_unless_another_is_asked_for(
    problem: Problem, called: list[str]
) -> None:
    cross_attend(**problem.arguments())
    assert set(called) == {"chunked"}  # the first that computes in float64
    called.clear()
    cross_attend(**problem.to(torch.float32).arguments())
    assert set(called) == {"compiled"}
    for name in ("compiled", "chunked", "reference"):
        called.clear()
        with use_backend(name):
            cross_attend(**problem.to(torch.float32).arguments())
        assert set(called) == {name}


@pytest.mark.usefixtures("in_order")
def test_selections_nest_and_end_with_their_block(problem: Problem, called: list[str]) -> None:
    with use_backend("reference"):
        with use_backend("auto"):
            cross_attend(**problem.arguments())
        with pytest.raises(RuntimeError), use_backend("chunked"):
            raise RuntimeError
        called.clear()
        cross_attend(**problem.arguments())
        assert set(called) == {"reference"}
    called.clear()
    cross_attend(**problem.arguments())
    assert set(called) == {"chunked"}


@pytest.mark.usefixtures("in_order")
def test_a_backend_that_refuses_is_passed_over_or_named(
    problem: Problem, called: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunked, "unsupported", lambda rows, context: "not on a Monday")
    cross_attend(**problem.arguments())
    assert set(called) == {"reference"}
    with use_backend("chunked"), pytest.raises(ValueError, match=r"no backend takes this.*chunked: not on a Monday"):
        cross_attend(**problem.arguments())


def test_unknown_backend_is_refused() -> None:
    with (
        pytest.raises(
            ValueError,
            match="backend must be 'auto' or one of triton, compiled, chunked, reference, projected, got 'cuda'",
        ),
        use_backend("cuda"),
    ):
        pass


@pytest.mark.usefixtures("user_view")
def test_arguments_that_do_not_fit_are_refused(problem: Problem) -> None:
    arguments = problem.arguments()
    with pytest.raises(ValueError, match="at least one context"):
        cross_attend(**{**arguments, "contexts": []})
    wider = [problem.contexts[0], replace(problem.contexts[1], padding=problem.contexts[1].padding + 1)]
    with pytest.raises(ValueError, match="2 and the weights' 11 channels, got 2 and 12 in context 1"):
        cross_attend(**{**arguments, "contexts": wider})
    with pytest.raises(ValueError, match="heads must divide"):
        cross_attend(**{**arguments, "heads": 3})
    with pytest.raises(ValueError, match="queries must be"):
        cross_attend(**{**arguments, "queries": problem.queries[..., :4]})
    with pytest.raises(ValueError, match=r"queries' batch size 1 and .* got 2 and 11 in context 0"):
        cross_attend(**{**arguments, "queries": problem.queries[:1]})
    with pytest.raises(ValueError, match="rows must be"):
        attend(torch.zeros(2, 3, 5), problem.contexts[0])
