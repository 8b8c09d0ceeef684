"""The calls that a cross-attend refuses."""

from dataclasses import replace

import pytest
import torch

from ops.problems import Problem, Spec
from perceiver_pytorch.ops import attend, cross_attend


@pytest.fixture
def problem() -> Problem:
    return Problem.of(Spec(), Spec((7,)), heads=2)


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
