"""Learning curves of several cells become one."""

import numpy as np
import pytest

from experiment_helpers import experiment, record
from perceiver_pytorch.experiments.drawings import curves, forest, mean_curve
from perceiver_pytorch.experiments.findings import findings
from perceiver_pytorch.report import figures


def history(*losses: float, step: float = 1.0) -> list[dict[str, float]]:
    return [{"epoch": step * (i + 1), "val_loss": loss} for i, loss in enumerate(losses)]


def test_a_mean_curve_goes_as_far_as_the_shortest_history() -> None:
    curve = mean_curve([history(4, 2, 0), history(2, 0)])
    assert curve is not None
    places, means, deviations = curve
    assert (places[0], places[-1]) == (1, 2)
    assert (means[0], means[-1]) == (3, 1)
    np.testing.assert_allclose(deviations, 1)
    assert mean_curve([[]]) is None


def test_cells_that_stop_at_different_places_are_drawn() -> None:
    curve = mean_curve([history(4.0), history(2.0, step=3.0)])
    assert curve is not None
    assert curve[1].shape == (1,)


@pytest.mark.parametrize("seeds", [1, 3])
def test_figures_are_drawn_with_and_without_intervals(seeds: int) -> None:
    asked = experiment()
    records = [record("words", level, seed, 0.3 + 0.1 * seed) for level in ("whole", "split") for seed in range(seeds)]
    drawing = curves(asked, records, "words")
    assert drawing is not None
    for one in (drawing, forest(findings(asked, records)[:1], asked.metrics[0])):
        assert "could not be drawn" not in figures.drawn(one)
    assert curves(asked, [], "words") is None
