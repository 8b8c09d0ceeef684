"""Statistics, held against scipy and known values."""

import math

import numpy as np
import pytest

from perceiver_pytorch.experiments.statistics import (
    HARMS,
    HELPS,
    NO_DIFFERENCE,
    UNDECIDED,
    Estimate,
    decide,
    estimate,
    holm,
    paired,
    seeds_needed,
    student_cdf,
    student_quantile,
)

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("df", [1, 2, 3, 4, 7, 30, 101])
@pytest.mark.parametrize("t", [-6.0, -1.3, 0.0, 0.4, 2.5, 12.0])
def test_students_distribution_is_scipys(t: float, df: int) -> None:
    assert student_cdf(t, df) == pytest.approx(stats.t.cdf(t, df), abs=1e-12)


@pytest.mark.parametrize("df", [1, 2, 5, 40])
@pytest.mark.parametrize("probability", [0.001, 0.2, 0.5, 0.975, 0.9999])
def test_students_quantiles_are_scipys(probability: float, df: int) -> None:
    assert student_quantile(probability, df) == pytest.approx(stats.t.ppf(probability, df), rel=1e-8, abs=1e-8)


def test_of_one_set_the_probability_is_that_of_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=9), rng.normal(0.4, size=9)
    found = estimate([second - first])
    expected = stats.ttest_rel(second, first)
    assert found.mean == pytest.approx(float(np.mean(second - first)))
    assert found.p == pytest.approx(expected.pvalue)
    assert found.units == 9


def test_an_interval_of_one_set_is_near_that_of_the_t_test() -> None:
    differences = np.random.default_rng(1).normal(0.3, 1.0, size=12)
    found = estimate([differences])
    low, high = stats.t.interval(0.95, 11, differences.mean(), stats.sem(differences))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.1 * (high - low))


def test_an_interval_has_the_mean_of_few_seeds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    intervals = [estimate([rng.normal(size=5)], resamples=400) for _ in range(300)]
    assert 0.88 < np.mean([found.low <= 0 <= found.high for found in intervals]) < 0.995


def test_sets_count_alike_and_are_the_unit_that_is_drawn() -> None:
    found = estimate([[1.0] * 50, [0.0, 0.0], [0.5]])
    assert found.mean == pytest.approx(0.5)
    assert found.units == 3
    assert found.error == pytest.approx(stats.sem([1.0, 0.0, 0.5]), rel=0.05)


def test_seeds_that_differ_within_sets_widen_the_pooled_interval() -> None:
    quiet = estimate([[0.1, 0.1], [0.2, 0.2], [0.3, 0.3]])
    loud = estimate([[-0.9, 1.1], [-0.8, 1.2], [-0.7, 1.3]])
    assert loud.mean == pytest.approx(quiet.mean)
    assert loud.error > 2 * quiet.error


def test_a_single_pair_says_nothing_about_chance() -> None:
    assert estimate([[0.2]]) == Estimate(0.2, None, None, None, 1, None)


def test_equal_differences_are_certain_and_equal_zeros_are_none() -> None:
    assert estimate([[0.2, 0.2, 0.2]]).p == 0.0
    assert estimate([[0.0, 0.0, 0.0]]).p == 1.0


def test_estimates_are_repeatable() -> None:
    groups = [[0.1, 0.4, -0.2], [0.3, 0.2, 0.6]]
    assert estimate(groups) == estimate(groups)


@pytest.mark.parametrize("groups", [[], [[]], [[1.0], []]])
def test_without_differences_there_is_no_estimate(groups: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        estimate(groups)


def test_holm_is_rs_p_adjust() -> None:
    """R: p.adjust(c(.01, .04, .03, .005), "holm")."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def found(low: float, high: float) -> Estimate:
    return Estimate((low + high) / 2, low, high, 0.1, 5, 0.01)


@pytest.mark.parametrize(
    ("low", "high", "adjusted", "decision"),
    [
        (0.02, 0.05, 0.01, HELPS),
        (-0.05, -0.02, 0.01, HARMS),
        (-0.005, 0.005, 0.9, NO_DIFFERENCE),
        (0.002, 0.006, 0.001, NO_DIFFERENCE),  # there is a difference, too small to matter
        (-0.03, 0.05, 0.4, UNDECIDED),
        (0.002, 0.05, 0.2, UNDECIDED),  # alone it would do, among others it does not
    ],
)
def test_decisions(low: float, high: float, adjusted: float, decision: str) -> None:
    assert decide(found(low, high), 0.01, 0.05, adjusted) == decision


def test_without_an_interval_nothing_is_decided() -> None:
    assert decide(Estimate(0.5, None, None, None, 1, None), 0.01, 0.05, None) == UNDECIDED


def test_with_the_seeds_that_are_needed_the_difference_is_found_as_often_as_asked() -> None:
    seeds = seeds_needed(1.0, 0.9)
    rng = np.random.default_rng(3)
    draws = rng.normal(0.9, 1.0, size=(4000, seeds))
    power = np.mean(stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05)
    assert 0.75 < power < 0.9
    assert seeds_needed(0.0, 0.1) == 2


def test_pairs_are_those_that_both_have() -> None:
    assert paired({("a", "0"): 1.0, ("a", "1"): 2.0}, {("a", "1"): 2.5, ("b", "0"): 9.0}) == {("a", "1"): 0.5}
    assert math.isclose(sum(paired({}, {}).values()), 0)
