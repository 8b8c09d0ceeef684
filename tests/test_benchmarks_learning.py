"""The comparison of what is learned: which cells are due, what its tables say, and one whole baseline."""

import argparse
import sys
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))  # benchmarks/ stands beside the package, not in it

from benchmarks.learning.__main__ import ablation, ranks, table, wanted
from benchmarks.learning.methods import PARTS, baseline
from benchmarks.learning.sets import DataSet

from perceiver_pytorch._files import write_text
from perceiver_pytorch._settings import all_settings
from perceiver_pytorch.training.table.settings import FitConfig


def options(tmp_path: Path, **values: object) -> argparse.Namespace:
    given = {"sets": ["trec", "digits"], "methods": ["product", "majority", "trees"], "seeds": 2, "limit": "1m"}
    places = {"folder": tmp_path, "work": tmp_path, "results": tmp_path / "results.jsonl"}
    return argparse.Namespace(**(given | places | values))


def test_finished_cells_and_repeats_without_a_seed_are_left_out(tmp_path: Path) -> None:
    write_text(tmp_path / "results.jsonl", '{"set": "trec", "method": "trees", "seed": 0, "limit": "1m"}\n')
    due = [tuple(map(str, cell[:3])) for cell in wanted(options(tmp_path))]
    assert due == [
        ("trec", "product", "0"),
        ("trec", "majority", "0"),
        ("digits", "product", "0"),
        ("digits", "majority", "0"),
        ("digits", "trees", "0"),
        ("trec", "product", "1"),
        ("trec", "trees", "1"),
        ("digits", "product", "1"),
        ("digits", "trees", "1"),
    ]


def test_another_limit_is_another_cell(tmp_path: Path) -> None:
    write_text(tmp_path / "results.jsonl", '{"set": "trec", "method": "trees", "seed": 0, "limit": "2m"}\n')
    assert ("trec", "trees", 0) in [cell[:3] for cell in wanted(options(tmp_path))]


def test_the_table_has_mean_and_deviation() -> None:
    result = {"set": "trec", "method": "product", "limit": "1m", "alone": {}, "seconds": 60.0, "memory_mb": 700}
    text = table(
        [result | {"seed": 0, "score": 0.8}, result | {"seed": 1, "score": 0.9}, {"set": "trec", "error": "x"}]
    )
    assert "| trec | accuracy | 0.850 ± 0.071 |" in text


def test_the_ablation_compares_scores_of_validation_rows() -> None:
    results = [
        {"set": "trec", "method": method, "seed": 0, "score": 0.1, "validation": value}
        for method, value in (("without heads", 0.5), ("product", 0.75))
    ]
    assert ablation(results).splitlines()[2:] == ["| product | 0.750 |", "| without heads | 0.500 |"]


def test_every_part_is_switched_off_by_settings_that_there_are() -> None:
    known = {setting.path for setting in all_settings(FitConfig)}
    assert {setting.split("=")[0] for part in PARTS.values() for setting in part.settings} <= known


def test_ranks_are_of_sets_that_all_have_and_equal_scores_share_theirs() -> None:
    scores = {"trec": (0.9, 0.8, 0.7), "movies": (0.5, 0.6, 0.6), "digits": (0.1, None, 0.2)}
    methods = ("product", "linear", "trees")
    results = [
        {"set": name, "method": method, "score": score}
        for name, row in scores.items()
        for method, score in zip(methods, row, strict=True)
        if score is not None
    ]
    assert ranks(results, methods) == "mean rank over 2 sets: product 2.00, linear 1.75, trees 2.25"


@pytest.mark.parametrize("method", ["majority", "linear", "trees"])
def test_a_baseline_reads_numbers_categories_and_texts(method: str, tmp_path: Path) -> None:
    words = ["a red apple", "a red car", "green apple", "green car"] * 50
    rows = pd.DataFrame(
        {
            "text": words,
            "size": [1.0, None, 3.0, 4.0] * 50,
            "shape": ["round", "long", "round", None] * 50,
            "y": ["red" if "red" in word else "green" for word in words],
            "split": ["train", "train", "train", "val", "test"] * 40,
        }
    )
    rows.to_csv(tmp_path / "t.csv", index=False)
    data = DataSet("t.csv", "y", "accuracy", {"text": "text", "size": "number", "shape": "category"})
    found = baseline(method, data, tmp_path / "t.csv", 0)
    assert found["score"] == pytest.approx(0.5 if method == "majority" else 1.0, abs=0.2)
