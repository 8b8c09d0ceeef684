"""The report's sections on certainty, from figures made by hand."""

from typing import Any

import pytest

from perceiver_pytorch.report.certainty import certainty_sections, draw_reliability

BINS = [{"rows": 5, "stated": 0.6, "found": 0.4}, {"rows": 20, "stated": 0.9, "found": 0.9}]
TOLD = {"ece": 0.04, "brier": 0.2, "loss": 0.5, "bins": BINS}
CALIBRATION = {"method": "temperature", "rows": 80, "before": {**TOLD, "ece": 0.2}, "after": TOLD}
COVERAGE = [{"asked": 0.9, "measured": 0.91, "low": 0.85, "high": 0.95, "size": None, "rows": 25}]
COMBINATIONS: list[dict[str, Any]] = [
    {"present": ["a", "b"]},
    {"present": ["a"], "trust": {"side": {"coverage": {"0.9": 0.88}}}},
    {"present": ["b"]},
]


def test_reliability_and_coverage_have_a_section_each() -> None:
    metrics = {"calibration": CALIBRATION, "coverage": COVERAGE}
    reliability, coverage = certainty_sections("side", metrics, COMBINATIONS, " of side")
    assert reliability.heading == "Stated probability and what was right of side"
    assert reliability.rows[0] == ["expected calibration error", "0.2000", "0.0400"]
    assert "One temperature" in reliability.note
    assert coverage.header == ["modalities present", "0.9 asked"]
    assert coverage.rows == [["(all)", "0.910 (0.850–0.950)"], ["(all), mean size", "infinite"], ["a", "0.880"]]


def test_a_run_without_them_has_no_section() -> None:
    assert certainty_sections("side", {}, COMBINATIONS, "") == []
    assert (
        len(certainty_sections("n", {"calibration": {"method": "none", "rows": 9}, "coverage": COVERAGE}, [], "")) == 1
    )


def test_both_curves_are_drawn_and_told_apart_without_colour() -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    axes = figure.subplots()
    draw_reliability(axes, CALIBRATION["before"], CALIBRATION["after"])
    assert [line.get_linestyle() for line in axes.lines] == [":", "--", "-"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["before", "calibrated"]
