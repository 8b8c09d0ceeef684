"""Each rule finds what it is about, says the figures, and keeps quiet where they do not show it."""

import pytest

from perceiver_pytorch._settings import with_keywords
from perceiver_pytorch.data import ClassTarget, LabelsTarget, NumberTarget
from perceiver_pytorch.data.choice import Choice
from perceiver_pytorch.training.run.divergence import Divergence
from perceiver_pytorch.training.run.planning import Plan
from perceiver_pytorch.training.table import verdict_rules as rules
from perceiver_pytorch.training.table.suspects import Suspect
from verdict_helpers import ASKED, SIDE, entry, facts, history, score

WEIGHT = NumberTarget("weight", 3.0, 1.0)


def found(rule, *args, **more):
    return list(rule(facts(*args, **more)))


@pytest.mark.parametrize(("value", "answer"), [(0.8, True), (0.52, None), (0.4, False), (0.45, False)])
def test_better_is_better_by_more_than_the_interval(value, answer):
    (finding,) = found(rules.baseline, score(value))
    assert finding.answer is answer
    assert f"accuracy {value}" in finding.says
    assert "against 0.5, on 200 test rows" in finding.says
    assert finding.evidence == {
        "score": value, "low": value - 0.05, "high": value + 0.05, "without inputs": 0.5, "rows": 200
    }  # fmt: skip


def test_a_score_is_compared_with_what_that_score_is_without_inputs():
    assert SIDE.without_inputs(score(0.8), "auroc") == 0.5
    assert SIDE.without_inputs(score(0.8), "balanced_accuracy") == 0.5
    assert SIDE.without_inputs(score(0.8), "macro_f1") == pytest.approx(1 / 3)
    assert WEIGHT.without_inputs({"baseline_mae": 4.0}, "mae") == 4.0
    assert WEIGHT.without_inputs({}, "r2") == 0.0
    metrics = {"r2": 0.3, "rows": 50, "intervals": {"r2": {"low": 0.1, "high": 0.5}}, "score_name": "r2"}
    (finding,) = found(rules.baseline, metrics, targets=[WEIGHT])
    assert finding.answer is True


def test_each_of_several_targets_has_an_answer():
    metrics = {"tasks": {"side": score(0.8), "weight": {"r2": -0.1, "rows": 50}}, "combinations": [], "modalities": {}}
    assert [f.answer for f in found(rules.baseline, metrics, targets=[SIDE, WEIGHT])] == [True, False]


def test_overfitted_is_better_on_train_rows_by_more_than_both_intervals():
    (finding,) = found(rules.fit_state, score(0.7), on_train={"side": score(0.99, 0.01)})
    assert (finding.rule, finding.limits) == ("overfitted", "rows")
    assert "accuracy 0.99 (0.98–1) on train rows, accuracy 0.7 (0.65–0.75) on test rows" in finding.says
    assert finding.evidence["train rows"] == 1000
    assert finding.command == ("perceiver fit t.csv --target side --set model.ff_dropout=0.1 --set augment.mixup=0.2")
    (finding,) = found(rules.fit_state, score(0.7, 0.3), on_train={"side": score(0.99, 0.01)})
    assert finding.rule == "fits"  # the few test rows may have been hard ones
    (finding,) = found(rules.fit_state, score(0.95, 0.001), on_train={"side": score(0.98, 0.001)})
    assert finding.rule == "fits"  # for sure, but hardly


def test_since_when_the_validation_loss_rises_is_told():
    course = history(0.9, 0.5, 0.6, 0.8, train=[0.9, 0.6, 0.3, 0.1])
    (finding,) = found(rules.fit_state, score(0.7), on_train={"side": score(0.99, 0.01)}, history=course)
    assert "The validation loss rose from 0.5 at step 100 to 0.8." in finding.says
    assert finding.evidence["least validation loss"] == 0.5
    assert finding.evidence["train loss"] == 0.1


def test_underfitted_is_poor_on_train_rows_too():
    (finding,) = found(rules.fit_state, score(0.6), on_train={"side": score(0.65)})
    assert (finding.rule, finding.limits) == ("underfitted", "model")
    assert finding.command == "perceiver fit t.csv --target side --preset small"
    (finding,) = found(rules.fit_state, score(0.6), on_train={"side": score(0.65)}, hardly=["hardly trained"])
    assert (finding.rule, finding.limits) == ("underfitted", None)  # it was not given the time
    (finding,) = found(rules.fit_state, score(0.8), on_train={"side": score(0.8)})
    assert finding.rule == "fits"
    assert found(rules.fit_state, score(0.6)) == []  # nothing is known of train rows


def test_a_time_limit_that_ended_training_is_to_be_longer():
    plan = Plan(3, 100, 1000, 60.0, 0.1, 0.5, 4.0)
    (finding,) = found(rules.time, plan=plan, steps=100)
    assert (finding.rule, finding.limits) == ("time limit", "time")
    assert finding.says == "The time limit left time for 100 of 1,000 steps."
    assert finding.command == "perceiver fit t.csv --target side --time-limit 3m"  # 60 s and 900 steps of 0.11 s
    flat = history(1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5)
    assert found(rules.time, plan=plan, steps=100, history=flat) == []  # it would have learned no more


def test_training_that_stopped_is_to_be_continued():
    (finding,) = found(rules.time, stopped="the time limit of 5 s is reached", steps=7)
    assert finding.command == "perceiver fit --resume r"
    at = Divergence("the loss is nan", 7, 0.1, 0.1)
    (finding,) = found(rules.time, stopped=str(at), diverged=at, steps=7)
    assert finding.command == "perceiver fit t.csv --target side --lr 0.001"


def test_a_model_that_was_still_learning_is_to_learn_longer():
    falling = history(1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
    (finding,) = found(rules.time, history=falling, steps=400)
    assert (finding.rule, finding.command) == ("still learning", "perceiver fit t.csv --target side --steps 800")
    assert found(rules.time, history=history(1.0, 0.5, 0.4, 0.35, 0.35, 0.34, 0.35, 0.34), steps=400) == []
    assert found(rules.time, history=falling[:3], steps=400) == []  # too few to tell
    asked = with_keywords(ASKED, {"epochs": 3})
    (finding,) = found(rules.time, asked=asked, history=falling, steps=400)
    assert finding.command == "perceiver fit t.csv --target side --epochs 6"


def test_a_model_that_was_hardly_trained_is_to_have_the_usual_steps():
    asked = with_keywords(ASKED, {"steps": 3})
    (finding,) = found(rules.time, asked=asked, hardly=["This model is hardly trained."], steps=3)
    assert (finding.rule, finding.command) == ("hardly trained", "perceiver fit t.csv --target side")


def test_suspected_columns_are_to_be_left_out():
    suspect = Suspect("nr", "column 'nr' has whole numbers", False)
    (finding,) = found(rules.columns, suspects=[suspect])
    assert finding.says == "Column 'nr' has whole numbers. It says nothing of new rows."
    assert finding.command == "perceiver fit t.csv --target side --column nr=ignore"


def combined(whole, without, alone, doubt=0.05, rows=200):
    """Metrics where q is left out, and is alone."""
    entries = [entry(["p", "q"], [], whole), entry(["p"], ["q"], without), entry(["q"], ["p"], alone)]
    return score(whole, doubt, rows, combinations=entries, modalities={"q": {"without": without, "alone": alone}})


def test_a_modality_adds_nothing_where_the_score_is_the_same_without_it():
    (finding,) = found(rules.modalities, combined(0.8, 0.8, 0.5))
    assert (finding.rule, finding.limits) == ("adds nothing", "a modality")
    assert finding.says == "q adds nothing: accuracy 0.8 without it, 0.8 with it, 0.5 with it alone."
    assert finding.command == "perceiver fit t.csv --target side --column q_1=ignore --column q_2=ignore"
    (finding,) = found(rules.modalities, combined(0.8, 0.8, 0.7))
    assert finding.says.endswith("what it says the others say, too.")
    assert found(rules.modalities, combined(0.8, 0.79, 0.5)) == []
    assert found(rules.modalities, combined(0.8, 0.8, 0.5, doubt=0.2)) == []  # nobody can tell
    assert found(rules.modalities, combined(0.8, 0.8, 0.5, rows=20)) == []


def test_a_modality_does_harm_where_the_score_is_better_without_it():
    (finding,) = found(rules.modalities, combined(0.7, 0.8, 0.5))
    assert finding.rule == "harm"
    assert finding.says == "q does harm: side: accuracy 0.8 without, accuracy 0.7 (0.65–0.75) with all modalities."
    assert [each.rule for each in found(rules.modalities, combined(0.7, 0.74, 0.5))] == ["adds nothing"]


def test_rare_classes_that_are_never_found_are_named():
    target = ClassTarget("side", ("a", "b", "c"), (90, 90, 9))
    confusion = [[50, 0, 0], [0, 50, 0], [2, 3, 0]]
    (finding,) = found(rules.imbalance, score(0.8, confusion=confusion), targets=[target])
    assert finding.says == "side: 'c' (9 train rows) is never predicted right on these rows."
    assert finding.command.endswith("--class-weights balanced")
    (finding,) = found(rules.imbalance, score(0.8, confusion=confusion), targets=[target], choice=Choice(balanced=True))
    assert finding.command is None
    confusion[2] = [2, 3, 1]
    assert found(rules.imbalance, score(0.8, confusion=confusion), targets=[target]) == []
    assert found(rules.imbalance, score(0.8, confusion=[[50, 0], [50, 0]])) == []  # common, but not learned


def test_rare_labels_that_are_never_found_are_named():
    target = LabelsTarget("tags", ("x", "y"), (90, 9), 100, "|")
    labels = [{"label": "x", "rows": 40, "recall": 0.9}, {"label": "y", "rows": 4, "recall": 0.0}]
    (finding,) = found(rules.imbalance, {"per_label": labels, "rows": 50}, targets=[target])
    assert "'y' (9 train rows)" in finding.says


def test_few_rows_to_measure_on_are_told():
    (finding,) = found(rules.measured_rows, score(0.8, 0.2, rows=20), split="validation")
    assert finding.command == "perceiver fit t.csv --target side --val-fraction 0.2"
    (finding,) = found(rules.measured_rows, score(0.8, 0.2, rows=20))
    assert finding.command is None
    assert found(rules.measured_rows, score(0.8, 0.05)) == []


def test_rows_that_are_predicted_worse_than_those_before():
    (finding,) = found(rules.other_rows, score(0.6), before=score(0.8))
    assert "accuracy 0.6 (0.55–0.65) against accuracy 0.8 (0.75–0.85)" in finding.says
    assert found(rules.other_rows, score(0.74), before=score(0.8)) == []
    assert found(rules.other_rows, score(0.6)) == []
