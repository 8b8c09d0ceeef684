"""The verdict on a run: what it holds, how it is told, and that it is true of a table that is made so."""

import csv
import json
import shlex

import numpy as np
import pytest

from cli_helpers import SETTINGS, perceiver
from perceiver_pytorch.training.table.verdict import SHOWN, judge_evaluation, judge_fit, verdict_lines
from verdict_helpers import facts, history, score


def test_limits_come_by_their_gravity_and_the_rest_before():
    known = {"on_train": {"side": score(0.99, 0.01)}, "stopped": "the time limit of 5 s is reached", "steps": 7}
    verdict = judge_fit(facts(score(0.7, 0.2, rows=20), split="validation", **known), "perceiver predict")
    assert verdict["better"] == [{"target": "side", "answer": None}]
    assert verdict["fit"] == "over"
    assert verdict["limits"] == ["time", "rows"]
    assert [each["rule"] for each in verdict["findings"]] == ["baseline", "stopped", "overfitted", "few rows"]
    assert json.loads(json.dumps(verdict)) == verdict


def test_where_nothing_limits_the_model_is_to_be_used():
    verdict = judge_fit(facts(score(0.99, 0.01), on_train={"side": score(0.99, 0.01)}), "perceiver predict r t.csv")
    assert (verdict["fit"], verdict["limits"]) == ("well", [])
    assert verdict_lines(verdict)[-2:] == [
        "  Hardly anything is left to learn. More rows or other columns may still help.",
        "    try: perceiver predict r t.csv",
    ]
    verdict = judge_fit(facts(score(0.8, 0.01), on_train={"side": score(0.8, 0.01)}), "perceiver predict r t.csv")
    assert verdict["findings"][-1]["says"].startswith("Nothing in these figures limits it.")


def test_the_terminal_has_the_gravest_limits():
    limit = {"says": "It is so.", "command": "perceiver fit", "limits": "rows"}
    lines = verdict_lines({"findings": [{"says": "Good.", "command": None, "limits": None}, *[limit] * (SHOWN + 2)]})
    assert lines[:2] == ["verdict:", "  Good."]
    assert lines.count("    try: perceiver fit") == SHOWN
    assert lines[-1] == "  2 more in the report"
    assert verdict_lines(None) == []  # of a run of an early version


def test_a_measurement_says_nothing_of_training():
    verdict = judge_evaluation(facts(score(0.6), before=score(0.8), history=history(1, 0.9, 0.8, 0.7), steps=3))
    assert "fit" not in verdict
    assert [each["rule"] for each in verdict["findings"]] == ["baseline", "other rows"]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A run on numbers, of which x decides and a row number does not."""
    folder, rng = tmp_path_factory.mktemp("verdict"), np.random.default_rng(0)
    with (folder / "t.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["nr", "x", "y", "split"])
        for i in range(150):
            x = rng.normal()
            writer.writerow([i, f"{x:.3f}", "right" if x > 0 else "left", "test" if i % 2 else "train"])
    fast = ["--lr=0.01", "--steps=60", *SETTINGS]
    done = perceiver("fit", "t.csv", "--target=y", "--run=r", *fast, cwd=folder)
    return folder, done.stdout, json.loads((folder / "r/metrics.json").read_text())


def test_a_run_ends_with_a_verdict_that_is_true(told):
    _, output, metrics = told
    verdict = metrics["verdict"]
    assert verdict["better"] == [{"target": "y", "answer": True}]
    assert "verdict:\n  y: better than without reading any input: accuracy" in output
    (column,) = [each for each in verdict["findings"] if each["limits"] == "a column"]
    assert column["evidence"] == [{"figure": "column", "value": "nr"}]
    assert f"try: {column['command']}\n" in output


def test_what_a_verdict_advises_can_be_typed(told):
    folder, _, metrics = told
    commands = {each["command"] for each in metrics["verdict"]["findings"] if each["command"]}
    assert commands
    for command in commands:
        assert perceiver(*shlex.split(command)[1:], cwd=folder).returncode == 0


def test_an_evaluation_has_one_of_its_own(told):
    folder, *_ = told
    done = perceiver("evaluate", "r", "t.csv", "--split=train", "-o", "e.json", cwd=folder)
    assert "y: better than without reading any input: accuracy" in done.stdout
    verdict = json.loads((folder / "e.json").read_text())["verdict"]
    assert verdict["better"] == [{"target": "y", "answer": True}]


def test_the_report_has_it(told):
    folder, *_ = told
    text = (folder / "r/report.html").read_text()
    assert "<h2>Verdict</h2>" in text
    assert "perceiver fit t.csv --target y --column nr=ignore" in text
