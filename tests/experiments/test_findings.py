"""What cells say about levels, per set and over all."""

import pytest

from experiment_helpers import TEXT, experiment, record
from perceiver_pytorch.experiments.findings import POOLED, differences, findings, wide_sets
from perceiver_pytorch.experiments.statistics import HARMS, HELPS, NO_DIFFERENCE, UNDECIDED
from perceiver_pytorch.experiments.store import FAILED

SETS = TEXT.replace("sets:\n", "sets:\n  - {name: other, table: other.csv, target: label}\n  - digits\n")


def cells(by_set: dict[str, float], seeds: int = 6) -> list:
    found = []
    for name, better in by_set.items():
        for seed in range(seeds):
            noise = 0.01 * (-1) ** seed + 0.001 * seed
            found += [record(name, "whole", seed, 0.5), record(name, "split", seed, 0.5 + better + noise)]
    return found


def only(metric: str, where: str, records: list, text: str = SETS):
    (found,) = (f for f in findings(experiment(text), records) if (f.metric, f.where) == (metric, where))
    return found


@pytest.mark.parametrize(
    ("better", "decision"), [(0.2, HELPS), (-0.2, HARMS), (0.0, NO_DIFFERENCE), (0.055, HELPS), (0.045, UNDECIDED)]
)
def test_decisions_of_one_set(better: float, decision: str) -> None:
    found = only("score", "words", cells({"words": better}, seeds=6), TEXT)
    if better == 0.045:  # there is a difference, of which nobody knows yet whether it matters
        assert found.decision in (HELPS, UNDECIDED)
        return
    assert found.decision == decision
    assert found.pairs == 6
    assert (found.contestant, found.baseline) == ("split", "whole")


def test_of_a_loss_the_difference_is_turned_round() -> None:
    records = cells({"words": 0.2})
    assert only("loss", "words", records, TEXT).found.mean == pytest.approx(
        only("score", "words", records, TEXT).found.mean
    )


def test_over_all_sets_each_counts_alike() -> None:
    records = cells({"words": 0.22, "other": 0.2}) + cells({"digits": 0.18}, seeds=2)
    found = only("score", POOLED, records)
    assert found.found.units == 3
    assert found.found.mean == pytest.approx(0.2, abs=0.01)
    assert found.decision == HELPS


def test_pairs_have_set_seed_and_other_levels_in_common() -> None:
    asked = experiment()
    records = [
        record("words", "whole", 0, 0.1),
        record("words", "split", 0, 0.4),
        record("words", "split", 1, 0.9),  # without its pair
        record("words", "whole", 1, 0.9, state=FAILED, result=None),
        record("words", "whole", 0, 0.5, levels={"text": "whole", "depth": "2"}),
        record("words", "split", 0, 0.6, levels={"text": "split", "depth": "2"}),
    ]
    found = differences(asked, records, asked.comparisons[0], "split", asked.metrics[0])
    assert found == {"words": {0: pytest.approx([0.3, 0.1])}}


def test_other_levels_of_a_seed_are_no_further_units() -> None:
    records = [
        record("words", level, seed, 0.1 + (level == "split"), levels={"text": level, "depth": depth})
        for level in ("whole", "split")
        for seed in (0, 1)
        for depth in ("1", "2")
    ]
    found = only("score", "words", records, TEXT)
    assert (found.found.units, found.pairs) == (2, 4)


def test_without_pairs_there_is_no_finding() -> None:
    assert findings(experiment(), []) == []


def test_sets_are_wide_until_their_intervals_are_narrow() -> None:
    text = SETS.replace("seeds: 2", "seeds: {first: 2, most: 9, until: 0.05}")
    records = (
        cells({"words": 0.1})
        + cells({"other": 0.1}, seeds=1)
        + [
            *(record("digits", "whole", seed, 0.5) for seed in range(4)),
            *(record("digits", "split", seed, 0.5 * (seed % 2)) for seed in range(4)),
        ]
    )
    assert wide_sets(experiment(text), records) == ["other", "digits"]
    assert wide_sets(experiment(SETS), records) == []
