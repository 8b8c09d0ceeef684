"""The page from facts made by hand: what it says of one target, of several, of rows left out."""

import dataclasses

import numpy as np
import pytest
import torch

from data_helpers import table_of
from perceiver_pytorch.data import BadRow, InputSpec, Predictions, TableDataset, recognise_columns
from perceiver_pytorch.data.choice import Choice
from perceiver_pytorch.report.page import NUM_EXAMPLES, ReportFacts, _sampled, write_report

ROWS = 40
SUITED, BALANCED = Choice(), Choice(balanced=True)


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    columns = {"x": rng.normal(size=ROWS).tolist(), "word": ["some", "words"] * (ROWS // 2)}
    targets = {"side": ["left", "right"] * (ROWS // 2), "weight": [7 * i / 3 for i in range(ROWS)]}
    return table_of(tmp_path, **columns, **targets)


def facts_of(table, targets, wrong=(), choice=SUITED, **changes):
    """Of a model that is right, but for the rows in ``wrong``."""
    kinds = recognise_columns(table, target=targets, split=None)
    spec = InputSpec.fit(table, kinds, target=targets, rows=np.arange(ROWS))
    dataset = TableDataset(table, np.arange(ROWS), spec)
    samples = [dataset[i] for i in range(ROWS)]
    encoded = {name: torch.from_numpy(np.stack([sample.targets[name] for sample in samples])) for name in targets}
    outputs = {}
    for target in spec.targets:
        truth = encoded[target.name]
        outputs[target.name] = 9 * torch.eye(target.size)[truth] if target.size > 1 else truth[:, None].float()
        outputs[target.name][list(wrong)] *= -1
    predictions = Predictions(torch.arange(ROWS), spec.targets, outputs, encoded, {})
    tasks = predictions.metrics()
    names = [modality.name for modality in spec.modalities]
    scores = {target.name: target.score(tasks[target.name], choice.of(target)) for target in spec.targets}
    entries = [{"present": names, "absent": []}, *({"present": [name], "absent": []} for name in names)]
    several = len(targets) > 1
    name = "score" if several else choice.of(spec.targets[0])
    metrics = {
        **({"tasks": tasks} if several else tasks[targets[0]]),
        "score": sum(scores.values()) / len(scores),
        "score_name": name,
        "trained": {"steps": 8, "passes": 2.0, "best_epoch": 2},
        "combinations": [{**entry, "score": 0.5, "scores": scores, "complete_rows": 7, "rows": 9} for entry in entries],
        "modalities": {},
    }
    history = [{"epoch": i, "train_loss": 1 / i, "val_loss": 2 / i, f"val_{name}": 0.1 * (i % 3)} for i in (1, 2, 3)]
    facts = ReportFacts(
        split="test",
        dataset=dataset,
        predictions=predictions,
        closer=[],
        metrics=metrics,
        history=history,
        sizes={"train": 30, "test": ROWS},
        bad_rows=[],
        first=[],
        verdict=[{"says": "side: better than nothing.", "command": "perceiver fit a&b.csv", "limits": "rows"}],
        notes=[],
        warnings=[],
        data_notes=[],
        summary="a model",
        config="data: {}",
        choice=choice,
    )
    return dataclasses.replace(facts, **changes)


def page(tmp_path, facts):
    write_report(tmp_path / "report.html", facts)
    return (tmp_path / "report.html").read_text()


def test_a_class_has_its_figures_its_matrix_and_its_best_epoch(table, tmp_path):
    text = page(tmp_path, facts_of(table, ["side"], wrong=[3]))
    for part in (
        "<title>Predicting side</title>",
        "<span>0.975</span>accuracy",
        "<span>0.500</span>majority class (accuracy)",
        "<span>40</span>test rows",
        "<h2>Confusion matrix</h2>",
        "The model is that of epoch 2, the best by validation accuracy.",
        "majority class: 0.500",
        "30 train rows, 40 test rows.",
        "<li>side: better than nothing.<br>",
        "<code>perceiver fit a&amp;b.csv</code>",
    ):
        assert part in text, part
    assert "Score of all targets" not in text


def test_several_targets_have_a_heading_each_and_a_mean(table, tmp_path):
    text = page(tmp_path, facts_of(table, ["weight", "side"]))
    assert "the mean of accuracy (classes) and R² (numbers),\neach within 0 and 1" in text
    for part in ("<h2>Confusion matrix of side</h2>", "<h2>True and predicted weight</h2>", "weight: <b>"):
        assert part in text, part
    assert text.index("True and predicted weight") < text.index("Confusion matrix of side")
    assert "the mean of macro F1 (classes) and" in page(tmp_path, facts_of(table, ["weight", "side"], choice=BALANCED))


def test_the_baseline_is_drawn_where_it_has_the_same_score(table, tmp_path):
    assert "majority class: " not in page(tmp_path, facts_of(table, ["side"], choice=BALANCED))
    assert "mean of the train rows: " not in page(tmp_path, facts_of(table, ["weight"]))


def test_a_third_of_the_examples_are_wrong_ones_where_there_are_as_many(table, tmp_path):
    for wrong, shown in (([], 0), ([5, 6], 2), (range(10), NUM_EXAMPLES // 3)):
        text = page(tmp_path, facts_of(table, ["side"], wrong=wrong))
        assert text.count('class="wrong"') == shown
        assert text.count('class="right"') == NUM_EXAMPLES - shown
    assert page(tmp_path, facts_of(table, ["weight"])).count("row ") >= NUM_EXAMPLES


def test_what_was_left_out_and_noted_is_listed(table, tmp_path):
    bad = [BadRow(i, "x", "a <number> was expected") for i in range(51)]
    notes = {"first": ["Stop."], "notes": ["Be careful."], "data_notes": ["Read so."]}
    text = page(tmp_path, facts_of(table, ["side"], bad_rows=bad, **notes))
    assert "Nothing that was noticed." not in text
    assert text.partition("<body>")[2].lstrip().startswith('<p class="first">Stop.</p>')
    for part in ("Be careful.", "Read so.", "a &lt;number&gt; was expected", "… and 1 more."):
        assert part in text, part


def test_what_was_lost_or_is_doubtful_stands_in_one_place(table, tmp_path):
    assert "Nothing that was noticed." in page(tmp_path, facts_of(table, ["side"]))
    text = page(tmp_path, facts_of(table, ["side"], warnings=[f"<{i}> was lost" for i in range(101)]))
    start, end = text.index("What was lost or doubtful"), text.index("What each modality is worth")
    assert "<li>&lt;99&gt; was lost</li>" in text[start:end]
    assert "&lt;100&gt; was lost" not in text
    assert "… and 1 more" in text[start:end]


def test_no_epoch_and_a_single_modality(table, tmp_path):
    single = table_of(tmp_path, x=[i / 7 for i in range(ROWS)], side=["left", "right"] * (ROWS // 2))
    facts = facts_of(single, ["side"], history=[])
    facts.metrics["combinations"][1:] = []
    text = page(tmp_path, facts)
    assert "Training stopped before the first epoch was complete." in text
    assert "There is one modality; nothing can be left out." in text


def test_modalities_that_there_was_no_time_to_leave_out(table, tmp_path):
    facts = facts_of(table, ["side"])
    facts.metrics["combinations"][1:] = []
    assert "The time limit left no time to leave any of the modalities out." in page(tmp_path, facts)


def test_the_model_of_the_last_step_is_named(table, tmp_path):
    facts = facts_of(table, ["side"])
    facts.metrics["trained"] = {"steps": 1200, "passes": 0.5, "best_epoch": None}
    assert "The model is that of step 1,200, the last." in page(tmp_path, facts)


def test_equal_facts_give_equal_bytes(table, tmp_path):
    facts = facts_of(table, ["side", "weight"], wrong=[1])
    assert page(tmp_path, facts) == page(tmp_path, facts)


def test_a_row_that_cannot_be_drawn_does_not_take_the_report_with_it(table, tmp_path, monkeypatch):
    facts = facts_of(table, ["side"])
    for modality in facts.dataset.spec.modalities:
        monkeypatch.setattr(type(modality), "example", lambda *_: 1 / 0)
    assert "(cannot be shown: division by zero)" in page(tmp_path, facts)


def test_rows_that_combinations_were_drawn_from_are_named():
    whole = {"rows": 9_000}
    assert _sampled([whole, whole]) is None
    assert _sampled([whole, {"rows": 2_000}]) == 2_000
