"""Runs with targets of each kind, one by one and together: they learn, and tell what they learned."""

import dataclasses
import re

import pytest
import torch
from safetensors.torch import load_file

from perceiver_pytorch import BlendedPerceiver, MultiTaskPerceiver
from perceiver_pytorch.data import load_table
from perceiver_pytorch.training.run.callbacks import Stopper
from perceiver_pytorch.training.run.history import read_history
from perceiver_pytorch.training.table.datasets import make_dataset
from perceiver_pytorch.training.table.evaluation import measure
from perceiver_pytorch.training.table.run import TableRun
from perceiver_pytorch.training.table.settings import AugmentConfig
from test_contracts import compare, what_a_run_tells
from training_helpers import SILENT, fit, tiny_config, write_targets_table

ALL = ["weight", "side", "tags"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_targets_table(tmp_path_factory.mktemp("targets"), rows=240)


@pytest.fixture(scope="module")
def together(table, tmp_path_factory):
    run = TableRun.create(tmp_path_factory.mktemp("runs") / "together")
    config = dataclasses.replace(tiny_config(table, ALL, epochs=12), augment=AugmentConfig(mixup=0.2))
    return run, config, fit(config, run, reporter=SILENT)


def lone(table, tmp_path, target, **training):
    """A run with one target; rows that lack it are skipped."""
    config = tiny_config(table, target, **training)
    ignored = dict.fromkeys([name for name in ALL if name != target], "ignore")
    data = type(config.data)(**{**vars(config.data), "columns": ignored, "on_error": "skip"})
    config = type(config)(data=data, model=config.model, training=config.training)
    run = TableRun.create(tmp_path / "run")
    return run, fit(config, run, reporter=SILENT)


def test_what_a_run_with_several_targets_tells(together):
    run, _, _ = together
    compare("told_several_targets.txt", what_a_run_tells(run))


def test_labels_are_learned(table, tmp_path):
    run, outcome = lone(table, tmp_path, "tags", epochs=12)
    compare("told_labels.txt", what_a_run_tells(run))
    metrics = outcome.metrics
    assert (metrics["kind"], metrics["score_name"], metrics["bad_rows"]) == ("labels", "map", 48)
    assert metrics["map"] == metrics["score"] > metrics["baseline_map"] + 0.15
    best = {row["label"]: row["average_precision"] for row in metrics["per_label"]}
    assert min(best["high"], best["wide"]) > best["odd"]  # nothing tells the odd ones
    page = run.report_file.read_text()
    assert "Labels" in page
    assert "average precision" in page
    assert "val_map" in read_history(run.history_file)[0]


@pytest.mark.usefixtures("quick")
def test_a_number_is_learned_in_its_unit(table, tmp_path):
    run, outcome = lone(table, tmp_path, "weight", epochs=12)
    metrics = outcome.metrics
    assert (metrics["kind"], metrics["score_name"]) == ("number", "r2")
    assert metrics["mae"] < 0.6 * metrics["baseline_mae"]
    assert 2 < metrics["rmse"] < 45  # standard deviations of 54, not of 1
    assert "True and predicted weight" in run.report_file.read_text()


def test_several_targets_are_learned_by_one_model(together):
    run, _, outcome = together
    model = run.model()
    model = model.trunk if isinstance(model, BlendedPerceiver) else model
    assert isinstance(model, MultiTaskPerceiver)
    assert list(model.tasks.items()) == [("weight", 1), ("side", 2), ("tags", 3)]
    tasks = outcome.metrics["tasks"]
    assert [tasks[name]["kind"] for name in ALL] == ["number", "class", "labels"]
    assert tasks["side"]["accuracy"] > tasks["side"]["majority_accuracy"] + 0.1
    assert tasks["weight"]["r2"] > 0.3
    assert tasks["tags"]["rows"] < tasks["side"]["rows"] == 40
    parts = tasks["side"]["accuracy"], tasks["tags"]["map"], tasks["weight"]["r2"]
    assert outcome.metrics["score"] == pytest.approx(sum(parts) / 3)
    page = run.report_file.read_text()
    for word in ("Confusion matrix of side", "Labels of tags", "True and predicted weight"):
        assert word in page


def test_a_measured_run_is_measured_the_same_again(together):
    run, config, outcome = together
    dataset = make_dataset(load_table(config.data.table), torch.arange(240).numpy()[4::6],
                           run.spec(), config.data)  # fmt: skip
    _, again = measure(run.model(), dataset, choice=config.training.choice)
    assert again["tasks"] == outcome.metrics["tasks"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("after", [3, pytest.param(25, marks=pytest.mark.nightly)])
def test_a_stopped_run_of_several_targets_goes_on_to_the_same_weights(together, tmp_path, monkeypatch, after):
    whole, config, _ = together
    original = Stopper.on_train_batch_start

    def stop_early(self, trainer, module, batch, batch_idx):
        if trainer.global_step == after:
            self.request("enough")
        original(self, trainer, module, batch, batch_idx)

    run = TableRun.create(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(Stopper, "on_train_batch_start", stop_early)
        assert fit(config, run, reporter=SILENT).stopped == "enough"
    fit(run.config(), TableRun.open(run.path), resume=True, reporter=SILENT)
    first, second = (load_file(r.path / "model.safetensors") for r in (run, whole))
    assert all(torch.equal(first[key], second[key]) for key in second)


@pytest.mark.usefixtures("quick")
def test_a_task_of_no_weight_is_not_learned(table, tmp_path):
    run = TableRun.create(tmp_path / "run")
    outcome = fit(tiny_config(table, ALL, epochs=1, task_weights={"weight": 0.0, "tags": 2}), run, reporter=SILENT)
    assert set(outcome.metrics["tasks"]) == set(ALL)
    state = torch.load(run.last, weights_only=True)["state_dict"]
    fresh = torch.load(run.last, weights_only=True)["optimizer_states"][0]["state"]
    assert state
    assert fresh
    for wrong, message in (({"wieght": 1.0}, "did you mean 'weight'"), ({"tags": -1.0}, "0 or more"),
                           (dict.fromkeys(ALL, 0), "nothing to learn")):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            fit(tiny_config(table, ALL, task_weights=wrong), TableRun.create(tmp_path / message[:3]), reporter=SILENT)


@pytest.mark.usefixtures("quick")
def test_balanced_classes_are_chosen_by_macro_f1(table, tmp_path):
    run, outcome = lone(table, tmp_path, "side", epochs=2, class_weights="balanced")
    assert outcome.metrics["score_name"] == "macro_f1"
    assert outcome.metrics["score"] == outcome.metrics["macro_f1"]
    assert "val_macro_f1" in read_history(run.history_file)[0]


def test_the_report_of_every_kind_opens_without_a_network(together):
    page = together[0].report_file.read_text()
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", page)
