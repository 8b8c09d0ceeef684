"""Sets hold the truth as often as asked on drawn data, within what chance allows; the parts against scikit-learn."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from perceiver_pytorch.data.calibration import PatternCalibration
from perceiver_pytorch.data.targets import ClassTarget, LabelsTarget, NumberTarget, Target
from perceiver_pytorch.data.targets.conformal import (
    MOST_KEPT,
    isotonic,
    kept_misfits,
    limits,
    local_spread,
    rows_needed,
)

CLASSES = ClassTarget("animal", ("ape", "bee", "cat", "dog"), (1, 1, 1, 1))
LABELS = LabelsTarget("tags", ("big", "hot", "odd"), (1, 1, 1), 3, "")
NUMBER = NumberTarget("weight", 50.0, 10.0)
AMOUNT = NumberTarget("price", 5.0, 6.0, log_mean=1.0, log_std=1.0, greatest=200.0)


def rows_of(target: Target, rows: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs, and what is true; the model is poor and too sure of itself, and its errors differ from row to row."""
    outputs = torch.randn(rows, target.size, generator=generator) * 2
    if target is CLASSES:
        return outputs * 3, torch.multinomial(outputs.softmax(-1), 1, generator=generator)[:, 0]
    if target is LABELS:
        return outputs * 3, (torch.rand(outputs.shape, generator=generator) < outputs.sigmoid()).float()
    noise = torch.randn(rows, generator=generator) * (0.2 + 0.3 * (outputs[:, 0] > 0))
    if target is NUMBER:
        return outputs, outputs[:, 0] + noise
    truth = (outputs[:, 0].clamp(max=2) + noise + 1).exp()
    return outputs.clamp(max=2), (truth - AMOUNT.mean) / AMOUNT.std


def values_of(target: Target, outputs: torch.Tensor, entry: PatternCalibration) -> np.ndarray:
    found: np.ndarray = target.values(torch.from_numpy(entry.fitted.calibrated(outputs.numpy()))).numpy()
    return found


@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("target", [CLASSES, LABELS, NUMBER, AMOUNT], ids=lambda target: str(target.name))
def test_sets_hold_the_truth_as_often_as_asked(target: Target, coverage: float) -> None:
    """Given n rows that were kept back, hits on new ones are beta-binomial (Vovk 2012)."""
    betabinom = pytest.importorskip("scipy.stats").betabinom
    kept, new = 600, 4000
    generator = torch.Generator().manual_seed(3)
    entry = PatternCalibration.learned(target, (), *rows_of(target, kept, generator))
    assert entry is not None
    outputs, encoded = rows_of(target, new, generator)
    regions = target.regions(values_of(target, outputs, entry), entry.limits(coverage), entry.fitted)
    hits = int(target.holds(regions, encoded.numpy()).sum())
    sides = len(entry.misfits)
    rank = math.ceil((kept + 1) * (1 - (1 - coverage) / sides))
    least, most = (betabinom(new, rank, kept + 1 - rank).ppf(q) for q in (1e-4, 1 - 1e-4))
    misses = [sides * (new - least), sides * (new - most)]
    assert new - misses[0] <= hits
    if target in (NUMBER, AMOUNT):  # of names there may be more: the most probable one is always held
        assert hits <= new - misses[1] + 0.02 * new


def test_intervals_are_wider_where_errors_are_larger() -> None:
    outputs, encoded = rows_of(NUMBER, 2000, torch.Generator().manual_seed(0))
    entry = PatternCalibration.learned(NUMBER, (), outputs, encoded)
    assert entry is not None
    assert entry.fitted.at
    ends = values_of(NUMBER, torch.tensor([[-3.0], [3.0]]), entry)
    regions = NUMBER.regions(ends, entry.limits(0.9), entry.fitted)
    low, high = NUMBER.region_sizes(regions).tolist()
    assert high > 1.7 * low


def test_amounts_have_no_interval_below_zero() -> None:
    outputs, encoded = rows_of(AMOUNT, 200, torch.Generator().manual_seed(0))
    entry = PatternCalibration.learned(AMOUNT, (), outputs, encoded)
    assert entry is not None
    assert (AMOUNT.regions(values_of(AMOUNT, outputs, entry), entry.limits(0.99), entry.fitted)[:, 0] >= 0).all()


@given(st.integers(1, 60), st.sampled_from([0.5, 0.8, 0.9, 0.95]), st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_the_limit_is_the_rank_of_the_definition(rows: int, coverage: float, seed: int) -> None:
    misfits = np.random.default_rng(seed).normal(size=(rows, 1))
    (found,) = limits(kept_misfits(misfits), rows, coverage)
    higher = [m for m in sorted(misfits[:, 0]) if (misfits <= m).sum() >= (rows + 1) * coverage - 1e-9]
    assert found == pytest.approx(higher[0] if higher else math.inf)
    assert math.isinf(found) == (rows < rows_needed(coverage, 1))


def test_misfits_that_are_left_out_make_sets_no_smaller() -> None:
    rows = 3 * MOST_KEPT + 7
    misfits = np.random.default_rng(0).random((rows, 2))
    kept = kept_misfits(misfits)
    assert [len(side) for side in kept] == [MOST_KEPT, MOST_KEPT]
    for coverage in (0.5, 0.83, 0.9, 0.99):
        found = np.array(limits(kept, rows, coverage))
        exact = np.array(limits(np.sort(misfits, axis=0).T.tolist(), rows, coverage))
        assert (found >= exact - 1e-8).all()
        assert (found < exact + 2 / MOST_KEPT).all()


@pytest.mark.parametrize("coverage", [0.0, 1.0, -1.0, 90.0, math.nan])
def test_a_coverage_that_cannot_be_is_refused(coverage: float) -> None:
    with pytest.raises(ValueError, match="coverage must lie between 0 and 1"):
        limits([[1.0]], 1, coverage)


@given(arrays(float, st.integers(1, 30), elements=st.floats(-5, 5)), st.integers(0, 50))
@settings(max_examples=40, deadline=None)
def test_isotonic_is_that_of_scikit_learn(values: np.ndarray, seed: int) -> None:
    reference = pytest.importorskip("sklearn.isotonic").isotonic_regression
    weights = np.random.default_rng(seed).uniform(0.5, 2, len(values))
    assert isotonic(values, weights) == pytest.approx(reference(values, sample_weight=weights), abs=1e-9)


def test_errors_of_one_size_have_one_spread() -> None:
    rng = np.random.default_rng(0)
    assert local_spread(rng.normal(size=500), rng.normal(size=500)) == ((), ())
    assert local_spread(np.zeros(500), rng.normal(size=500)) == ((), ())
    assert local_spread(rng.normal(size=500), np.zeros(500)) == ((), ())


@pytest.mark.parametrize("sign", [1, -1])
def test_a_spread_rises_or_falls(sign: int) -> None:
    rng = np.random.default_rng(0)
    predicted = rng.uniform(0, 1, 1000)
    at, spread = local_spread(sign * predicted, rng.normal(size=1000) * (0.1 + predicted))
    assert (np.diff(spread) * sign >= 0).all()
    assert sorted(at) == list(at)
    assert max(spread) > 3 * min(spread)


def test_few_rows_hold_everything() -> None:
    entry = PatternCalibration.learned(CLASSES, (), torch.zeros(3, 4), torch.tensor([0, 1, -1]))
    assert entry is not None
    assert entry.rows == 2
    assert CLASSES.regions(np.full((1, 4), 0.25), entry.limits(0.9), entry.fitted).all()
    dates = NumberTarget("day", 19_000.0, 100.0, dates="day")
    ends = dates.regions(np.full((1, 1), 19_000.0), [math.inf, math.inf], entry.fitted)
    assert np.isnat(dates.region_columns(ends)["low"]).all()
