"""Whole language runs: what they leave behind, that they learn, and that a stopped one goes on to the same result."""

import json
import math
import re
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from perceiver_pytorch._settings import read_settings
from perceiver_pytorch.training.language.module import LanguageModule
from perceiver_pytorch.training.language.objectives import bits_per_byte, objective_of
from perceiver_pytorch.training.language.run import LanguageRun
from perceiver_pytorch.training.language.settings import LanguageConfig
from perceiver_pytorch.training.language.task import LanguageTask, epochs_and_steps
from perceiver_pytorch.training.language.text_file import open_text
from perceiver_pytorch.training.run import loop
from perceiver_pytorch.training.run.callbacks import Stopper
from perceiver_pytorch.training.run.history import read_history
from perceiver_pytorch.training.run.job import INTERRUPTED, run_job
from perceiver_pytorch.training.run.reporter import Reporter
from test_contracts import compare, what_a_run_tells
from training_helpers import SILENT

TINY = {"num_latents": 8, "latent_dim": 32, "embedding_dim": 32, "depth": 1, "heads": 2, "cross_heads": 2}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "alphabet.txt"
    path.write_bytes(b"abcdefghijklmnopqrstuvwxyz\n" * 100)
    return path


def config(file, objective, **training):
    return read_settings(
        LanguageConfig,
        {
            "objective": objective,
            "data": {"file": str(file), "context": 32},
            "model": {**TINY, "ff_dropout": 0.1},
            "training": {"steps": 60, "validate_every": 20, "batch_size": 8, "lr": 1e-2, **training},
        },
    )


def quietly(settings, run, **keywords):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run_job(LanguageTask(settings), run, reporter=SILENT, **keywords)


@pytest.fixture(scope="module", params=["causal", "masked"])
def finished(request, file, tmp_path_factory):
    run = LanguageRun.create(tmp_path_factory.mktemp("runs") / request.param)
    settings = config(file, request.param)
    return run, settings, quietly(settings, run)


def test_a_run_leaves_everything_behind_and_learns(finished):
    run, settings, outcome = finished
    names = {path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_file()}
    names = {re.sub(r"events\..*", "events", name) for name in names}
    compare("language_run_folder.txt", "\n".join(sorted(names)) + "\n")
    compare(f"told_{settings.objective}.txt", what_a_run_tells(run))
    assert run.config() == settings
    assert json.loads(run.metrics_file.read_text()) == outcome.metrics
    assert [row["step"] for row in read_history(run.history_file)] == [20, 40, 60]
    limit = {"causal": 0.7, "masked": 1.0}[settings.objective]  # hidden bytes take longer
    assert outcome.metrics["bits_per_byte"] < limit * outcome.metrics["baselines"]["unigram"]
    assert outcome.metrics["baselines"]["unigram"] == pytest.approx(4.9, abs=0.3)
    assert "bits per byte" in run.curve_file.read_text()
    assert LanguageRun.is_at(run.path)


def test_the_saved_model_gives_the_bits_that_were_reported(finished, file):
    run, settings, outcome = finished
    test = open_text(file)[-outcome.metrics["bytes"]["test"] :]
    bits = bits_per_byte(run.language_model(), objective_of(settings), test)
    assert bits == pytest.approx(outcome.metrics["bits_per_byte"], rel=1e-5)


def test_another_objectives_model_is_refused(finished):
    run, settings, _ = finished
    wanted, other = (run.causal_model, run.masked_model)[:: 1 if settings.objective == "causal" else -1]
    wanted()
    with pytest.raises(ValueError, match=f"has a {settings.objective} model"):
        other()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_a_stopped_run_goes_on_to_the_same_weights(file, tmp_path, objective, monkeypatch):
    settings = config(file, objective)
    whole = LanguageRun.create(tmp_path / "whole")
    quietly(settings, whole)

    run = LanguageRun.create(tmp_path / "stopped")
    original = Stopper.on_train_batch_start

    def interrupt(self, trainer, *rest):
        if trainer.global_step == 27:  # within the second epoch
            self.request(INTERRUPTED)
        original(self, trainer, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Stopper, "on_train_batch_start", interrupt)
        assert quietly(settings, run).stopped == INTERRUPTED
    assert not run.metrics_file.exists()
    assert quietly(settings, run, resume=True).stopped is None
    first, second = (load_file(r.path / "model.safetensors") for r in (whole, run))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    strip = [{k: v for k, v in row.items() if k != "seconds"} for row in read_history(run.history_file)]
    assert strip == [{k: v for k, v in row.items() if k != "seconds"} for row in read_history(whole.history_file)]
    assert run.metrics() == whole.metrics()


@pytest.mark.usefixtures("quick")
def test_no_more_of_the_held_out_parts_is_measured_than_asked_for(file, tmp_path):
    run = LanguageRun.create(tmp_path / "run")
    settings = config(file, "causal", steps=2, validate_bytes=70, measure_bytes=100)
    metrics = quietly(settings, run).metrics
    assert metrics["bytes"]["test"] == 135
    assert metrics["bytes"]["measured"] == 100
    test = open_text(file)[-135:][:100]
    assert bits_per_byte(run.language_model(), objective_of(settings), test) == pytest.approx(metrics["bits_per_byte"])


def test_steps_are_about_those_asked_for():
    def counts(objective="causal", **training):
        settings = config("x", objective, **training)
        return epochs_and_steps(settings, objective_of(settings), train_bytes=10_000)

    assert counts(steps=60, validate_every=20) == (3, 20)
    assert counts(steps=10, validate_every=20) == (1, 10)
    assert counts(steps=61, validate_every=20) == (4, 16)
    assert counts(epochs=2.0, validate_every=1000) == (1, 313)  # 2 x 10,000 bytes, 8 x 8 of them per step


@pytest.mark.parametrize(("objective", "batches"), [("causal", 10), ("masked", 16)])
def test_what_is_trained_and_validated_on(objective, batches):
    """A step predicts 8 x 8 bytes, or 8 x 5 hidden ones; 500 test and 123 validation bytes are measured."""
    task = LanguageTask(config("x", objective, validate_bytes=100, measure_bytes=500))
    task.parts = {"train": np.zeros(2000, np.uint8), "val": np.zeros(123, np.uint8), "test": np.zeros(700, np.uint8)}
    loaders = task.loaders()
    assert loaders.measured == (batches, batches)
    assert loaders.closing == 4.0 + 2000 / 1e6
    assert loaders.rounds == 3
    assert len(loaders.train.dataset) == 2000 - (33 if objective == "causal" else 32) + 1
    assert [len(batch) for batch in loaders.train.batch_sampler] == [8] * 20
    assert len(loaders.val.dataset) == (math.ceil(99 / 8) if objective == "causal" else 4 * 7)
    sizes = [len(batch) for batch in loaders.val.batch_sampler]
    assert sum(sizes) == len(loaders.val.dataset)
    assert set(sizes[:-1]) <= {8}


@pytest.mark.usefixtures("quick")
def test_a_text_is_told_of_and_kept_in_mind_once(file, tmp_path):
    said, run = [], LanguageRun.create(tmp_path / "run")
    task = LanguageTask(config(file, "causal"))
    reporter = Reporter(said.append, said.append)
    task.prepare(run, resume=False, reporter=reporter)
    module = task.module(reporter)
    count = sum(parameter.numel() for parameter in module.model.parameters())
    assert said == ["train: 2,430 bytes, val: 135 bytes, test: 135 bytes", f"PerceiverAR: {count:,} parameters"]
    task.begin(run)
    kept = run.text_file.stat().st_mtime_ns
    task.begin(run)
    assert run.text_file.stat().st_mtime_ns == kept
    task.write(run, SimpleNamespace(history=[]), {})
    assert not run.curve_file.exists()


def test_losses_are_means_over_bytes(monkeypatch):
    sums = iter([(torch.tensor(8.0), torch.tensor(4)), (torch.tensor(3.0), torch.tensor(1))])
    objective = SimpleNamespace(loss=lambda model, batch: batch.sum(), nats=lambda model, batch: next(sums))
    module, logged = LanguageModule(torch.nn.Linear(1, 1), objective, config("x", "causal").training), []
    monkeypatch.setattr(module, "log", lambda name, value, **how: logged.append((name, value, how)))
    monkeypatch.setattr(loop, "_LOGGED", 1)
    for batch in (1.0, 2.0):
        assert module.training_step(torch.tensor([batch]), 0).item() == batch
    told = ("train_loss", {"prog_bar": True, "on_step": True, "on_epoch": False})
    assert [(name, how) for name, _, how in logged] == [told, told]
    assert module.train_loss.compute().item() == 1.5
    assert "train_loss.mean_value" in module.state_dict()
    for _ in range(2):
        module.validation_step((torch.zeros(1), torch.zeros(1)), 0)
    losses = {name: value.compute().item() for name, value, _ in logged[2:]}
    assert losses == pytest.approx({"val_loss": 11 / 5, "val_bits_per_byte": 11 / 5 / math.log(2)})
    assert all(how == {"prog_bar": True} for _, _, how in logged[2:])
    assert (module.monitor, module.mode) == ("val_bits_per_byte", "min")


def test_without_a_validation_the_steps_are_those_of_the_model(tmp_path, monkeypatch):
    task = LanguageTask(config("x", "causal"))
    task.parts = {}
    monkeypatch.setattr("perceiver_pytorch.training.language.task._measured", lambda *_: {"objective": "causal"})
    model = torch.nn.Linear(2, 3).train()
    trained = SimpleNamespace(module=SimpleNamespace(model=model, global_step=7), stopped="enough", facts=dict)
    told = task.measure(SimpleNamespace(**vars(trained), history=[]), SILENT)
    assert told == {"objective": "causal", "steps": 7, "parameters": 9, "stopped": "enough", "trained": {}}
    assert not model.training
    assert task.measure(SimpleNamespace(**vars(trained), history=[{"step": 2.0}, {"step": 5.0}]), SILENT)["steps"] == 5


@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_a_large_model_trains_in_bfloat16_where_that_is_fast(objective, file, tmp_path, monkeypatch):
    monkeypatch.setattr("perceiver_pytorch.training.bfloat16.LARGE", 0)
    monkeypatch.setattr("perceiver_pytorch.training.bfloat16.bfloat16_products", lambda: True)
    told, modes, losses = [], set(), LanguageModule.forward

    def watched(module, batch):
        modes.add((torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")))
        return losses(module, batch)

    monkeypatch.setattr(LanguageModule, "forward", watched)
    run = LanguageRun.create(tmp_path / "run")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcome = run_job(LanguageTask(config(file, objective)), run, reporter=Reporter(say=told.append))
    assert modes == {(True, torch.bfloat16)}
    assert "precision: bf16-mixed, which this processor multiplies faster than float32" in told
    assert run.config().training.precision == "auto"
    assert outcome.metrics["trained"]["precision"] == "bf16-mixed"
    assert {weight.dtype for weight in load_file(run.model_files[1]).values()} == {torch.float32}
    assert outcome.metrics["bits_per_byte"] < outcome.metrics["baselines"]["unigram"]
