"""A job of a task that is neither a table's nor a text's: a line through points."""

import dataclasses
import json
import math
import re
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchmetrics import MeanMetric

from perceiver_pytorch._files import write_json
from perceiver_pytorch._settings import Settings, knob, load_config
from perceiver_pytorch.models.saving import SavedModel
from perceiver_pytorch.training.run import checkpoints, loop
from perceiver_pytorch.training.run.callbacks import Stopper
from perceiver_pytorch.training.run.checkpoints import Progress
from perceiver_pytorch.training.run.divergence import DivergedError
from perceiver_pytorch.training.run.durations import Deadline
from perceiver_pytorch.training.run.folder import RunFolder
from perceiver_pytorch.training.run.history import read_history
from perceiver_pytorch.training.run.job import INTERRUPTED, Trained, run_job
from perceiver_pytorch.training.run.loaders import Loaders
from perceiver_pytorch.training.run.loop import Resumable, validate
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.run.sampler import EpochBatches
from perceiver_pytorch.training.run.settings import TrainingSettings

SILENT = Reporter(say=lambda text: None, warn=lambda text: None)
TRAINING = TrainingSettings(batch_size=4, lr=0.1)


@dataclass(frozen=True, kw_only=True)
class LineConfig(Settings):
    slope: float = knob(2.0, "of the line")
    training: TrainingSettings = TRAINING


class LineRun(RunFolder):
    command = ("line", "SLOPE")

    @property
    def _written(self):
        return *super()._written, self.path / "slope.json"

    def config(self):
        return load_config(self.config_file, LineConfig())


class Line(SavedModel):
    def __init__(self, *, width):
        super().__init__()
        self.layer = nn.Linear(width, 1)


class Points(Dataset):
    def __init__(self, slope, size):
        self.points = torch.linspace(-1, 1, size)
        self.slope = slope

    def __len__(self):
        return len(self.points)

    def __getitem__(self, place):
        return self.points[place], self.slope * self.points[place]


class LineModule(Resumable):
    monitor = "val_error"
    mode = "min"

    def __init__(self, model, settings):
        super().__init__(settings.seed)
        self.model, self.config = model, TRAINING
        self.lr = settings.lr

    def error(self, batch):
        x, y = batch
        return (self.model.layer(x[:, None])[:, 0] - y + 0.1 * torch.randn(len(x))).square().mean()

    def training_step(self, batch, batch_idx):
        return self.error(batch)

    def validation_step(self, batch, batch_idx):
        self.log("val_error", (self.model.layer.weight - self.trainer.val_dataloaders.dataset.slope).abs().squeeze())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.model.parameters(), lr=self.lr)


class LineTask:
    """Notes which of its methods were called."""

    def __init__(self, config, bad_at=None):
        self.config = config
        self.bad_at = bad_at
        self.called = []

    @property
    def training(self):
        return self.config.training

    def note(self, name):
        self.called.append(name)
        if name == self.bad_at:
            raise ValueError(f"bad at {name}")

    def prepare(self, run, *, resume, reporter):
        self.note("prepare")
        kept = run.path / "slope.json"
        if kept.exists() and json.loads(kept.read_text()) != self.config.slope:
            raise ValueError("another line")

    def identity(self):
        return self.config.slope

    def module(self, reporter):
        self.note("module")
        return LineModule(Line(width=1), self.training)

    def begin(self, run):
        self.note("begin")
        write_json(run.path / "slope.json", self.config.slope)

    def loaders(self):
        self.note("loaders")
        points = Points(self.config.slope, 24)
        order = EpochBatches(len(points), self.training.batch_size, self.training.seed)
        return Loaders(train=DataLoader(points, batch_sampler=order), val=DataLoader(points), steps=3 * len(order))

    def complete(self, trained, reporter):
        self.note("complete")

    def measure(self, trained, reporter):
        self.note("measure")
        weight = trained.module.model.layer.weight.item()
        told = {"slope": weight, "epochs": len(trained.history), "stopped": trained.stopped}
        return told | trained.facts()

    def write(self, run, trained, metrics):
        self.note("write")
        (run.path / "line.txt").write_text(f"{metrics['slope']:.2f}")


STEPS = ["prepare", "module", "begin", "loaders", "complete", "measure", "write"]


def stop_after(monkeypatch, steps, reason):
    original = Stopper.on_train_batch_start

    def stop(self, trainer, *rest):
        if trainer.global_step == steps:
            self.request(reason)
        original(self, trainer, *rest)

    monkeypatch.setattr(Stopper, "on_train_batch_start", stop)


def test_a_task_goes_through_its_steps(tmp_path):
    run, task = LineRun.create(tmp_path / "run"), LineTask(LineConfig())
    outcome = run_job(task, run, reporter=SILENT)
    assert task.called == STEPS
    assert outcome.metrics == run.metrics()
    assert outcome.metrics["slope"] == pytest.approx(2.0, abs=0.6)
    assert outcome.stopped is None
    assert run.config() == LineConfig()
    history = read_history(run.history_file)
    assert [row["step"] for row in history] == [6, 12, 18]
    best = min(history, key=lambda row: row["val_error"])
    assert abs(outcome.metrics["slope"] - 2.0) == pytest.approx(best["val_error"], rel=1e-4)
    told = {name: outcome.metrics[name] for name in ("best_epoch", "steps", "passes")}
    assert told == {"best_epoch": best["epoch"], "steps": best["step"], "passes": best["epoch"]}
    assert run.load(Line).layer.weight.item() == outcome.metrics["slope"]
    assert (run.path / "line.txt").is_file()


@pytest.mark.parametrize("steps", [5, 6, 8])
@pytest.mark.parametrize("reason", ["enough", INTERRUPTED])
def test_a_stopped_job_goes_on_to_the_same_model(tmp_path, steps, reason):
    whole, run = (LineRun.create(tmp_path / name) for name in ("whole", "stopped"))
    run_job(LineTask(LineConfig()), whole, reporter=SILENT)
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, steps, reason)
        outcome = run_job(LineTask(LineConfig()), run, reporter=SILENT)
    assert outcome.stopped == reason
    assert bool(outcome.metrics) == run.metrics_file.exists() == (reason != INTERRUPTED)
    assert run_job(LineTask(run.config()), run, resume=True, reporter=SILENT).stopped is None
    first, second = ((r.path / "model.safetensors").read_bytes() for r in (whole, run))
    assert first == second
    assert run.metrics() == whole.metrics()


def test_the_seconds_of_all_parts_of_a_run_count(tmp_path, monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(checkpoints, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    run, seen = LineRun.create(tmp_path / "run"), []
    monkeypatch.setattr(LineTask, "write", lambda self, run, trained, metrics: seen.append(trained.seconds))
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 8, "enough")
        run_job(LineTask(LineConfig()), run, reporter=SILENT)
    run_job(LineTask(run.config()), run, resume=True, reporter=SILENT)
    run_job(LineTask(run.config()), run, resume=True, reporter=SILENT)
    assert 0 < seen[0] < seen[1] == seen[2] < next(clock)


def test_a_complete_job_is_measured_again_and_not_trained(tmp_path):
    run, said = LineRun.create(tmp_path / "run"), []
    run_job(LineTask(LineConfig()), run, reporter=SILENT)
    last, metrics = run.last.read_bytes(), run.metrics()
    run_job(LineTask(LineConfig()), run, resume=True, reporter=Reporter(said.append, said.append))
    assert said == ["training is complete; the model is measured again"]
    assert run.last.read_bytes() == last
    assert run.metrics() == metrics


@pytest.mark.parametrize("step", ["prepare", "module", "begin", "loaders"])
def test_nothing_stays_of_a_job_that_never_began(tmp_path, step):
    run = LineRun.create(tmp_path / "run")
    with pytest.raises(ValueError, match=f"bad at {step}"):
        run_job(LineTask(LineConfig(), bad_at=step), run, reporter=SILENT)
    assert not list(run.path.iterdir())


@pytest.mark.parametrize("step", ["measure", "write"])
def test_a_job_that_fails_later_can_be_resumed(tmp_path, step):
    run = LineRun.create(tmp_path / "run")
    with pytest.raises(ValueError, match=f"bad at {step}"):
        run_job(LineTask(LineConfig(), bad_at=step), run, reporter=SILENT)
    assert run_job(LineTask(run.config()), run, resume=True, reporter=SILENT).metrics["epochs"] == 3


def test_a_task_can_refuse_to_resume_on_other_data(tmp_path):
    run = LineRun.create(tmp_path / "run")
    run_job(LineTask(LineConfig()), run, reporter=SILENT)
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="another line"):
        run_job(LineTask(LineConfig(slope=3.0)), run, resume=True, reporter=SILENT)
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("error", "kind", "message", "stays"),
    [
        (ValueError("no"), ValueError, "no", False),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemoryError, "use a smaller --batch-size", False),
        (
            RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. "),
            ChildProcessError,
            r"was killed \(signal 9, Killed\), .*memory runs out.* Then continue with: perceiver line --resume",
            True,
        ),
    ],
)
def test_a_first_step_that_fails_leaves_nothing_unless_it_is_worth_to_go_on(
    tmp_path, monkeypatch, error, kind, message, stays
):
    def fail(self, batch, batch_idx):
        raise error

    run = LineRun.create(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(LineModule, "training_step", fail)
        with pytest.raises(kind, match=message):
            run_job(LineTask(LineConfig()), run, reporter=SILENT)
    assert bool(list(run.path.iterdir())) == stays
    if stays:
        assert run_job(LineTask(LineConfig()), run, resume=True, reporter=SILENT).metrics["epochs"] == 3


@pytest.mark.parametrize("replaced", [False, True])
def test_a_folder_that_is_removed_underway_is_not_made_again(tmp_path, monkeypatch, replaced):
    run = LineRun.create(tmp_path / "run")
    original = LineModule.on_train_batch_end

    def remove(self, *rest):
        original(self, *rest)
        if self.global_step == 8:
            shutil.rmtree(run.path)
            if replaced:
                run.path.mkdir()
                run.lock_file.write_text("of another process")

    monkeypatch.setattr(LineModule, "on_train_batch_end", remove)
    with pytest.raises(FileNotFoundError, match=r"run folder .*run was removed or replaced while it was being trained"):
        run_job(LineTask(LineConfig()), run, reporter=SILENT)
    left = [path.name for path in tmp_path.rglob("*")]
    assert left == (["run", ".lock"] if replaced else [])


def poisoned(monkeypatch, steps, what):
    """Makes the loss or a gradient of some steps infinite."""
    original = LineModule.training_step

    def training_step(self, batch, batch_idx):
        loss = original(self, batch, batch_idx)
        if self.global_step + 1 not in steps:
            return loss
        # The root of zero has no slope: the loss is finite, its gradient is not.
        return loss * math.inf if what == "the loss is inf" else loss + (0 * self.model.layer.weight).sum().sqrt()

    monkeypatch.setattr(LineModule, "training_step", training_step)


@pytest.mark.parametrize("what", ["the loss is inf", "the gradient is not finite"])
@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_a_run_that_diverges_stops_and_keeps_the_best_model(tmp_path, monkeypatch, what, clip):
    config = LineConfig(training=dataclasses.replace(TRAINING, gradient_clip=clip))
    whole, run = (LineRun.create(tmp_path / name) for name in ("whole", "diverged"))
    run_job(LineTask(config), whole, reporter=SILENT)
    poisoned(monkeypatch, range(9, 100), what)
    with pytest.raises(DivergedError) as caught:
        run_job(LineTask(config), run, reporter=SILENT)
    assert str(caught.value).startswith(f"training diverged: {what} in step 9, at a learning rate of 0.1")
    assert f"The model of step 6, the best before, is kept in {run.path}." in str(caught.value)
    assert str(caught.value).endswith("Start a new run with a smaller --lr, such as 0.001.")
    assert run.metrics()["stopped"] == str(caught.value.divergence) == str(run.divergence())
    assert read_history(run.history_file)[0]["val_error"] == read_history(whole.history_file)[0]["val_error"]
    assert run.load(Line).layer.weight.item() == run.metrics()["slope"]
    assert torch.load(run.last, weights_only=True)["global_step"] == 6
    # Whoever resumes it is told, and gets the same.
    before = run.metrics_file.read_bytes()
    run.metrics_file.unlink()
    with pytest.raises(DivergedError, match=re.escape(str(caught.value))):
        run_job(LineTask(config), run, resume=True, reporter=SILENT)
    assert run.metrics_file.read_bytes() == before


def test_of_a_run_that_diverges_in_its_first_epoch_the_last_checkpoint_is_kept(tmp_path, monkeypatch):
    config = LineConfig(training=dataclasses.replace(TRAINING, checkpoint_every="2 steps"))
    poisoned(monkeypatch, [4], "the loss is inf")
    run = LineRun.create(tmp_path / "run")
    with pytest.raises(DivergedError, match=r"The model of step 2, is kept"):
        run_job(LineTask(config), run, reporter=SILENT)
    assert torch.load(run.last, weights_only=True)["averaged"]["layer.weight"].item() == run.metrics()["slope"]


def test_of_a_run_that_diverges_before_anything_is_saved_no_model_is_kept(tmp_path, monkeypatch):
    poisoned(monkeypatch, [1], "the loss is inf")
    run = LineRun.create(tmp_path / "run")
    with pytest.raises(DivergedError, match=r"No model is kept, .* look for extreme numbers among the inputs"):
        run_job(LineTask(LineConfig()), run, reporter=SILENT)
    assert not run.metrics_file.exists()
    with pytest.raises(ValueError, match=r"has no model: training diverged: the loss is inf in step 1"):
        run.load(Line)


def test_weights_that_are_not_finite_are_never_saved(tmp_path, monkeypatch):
    original = LineModule.on_train_batch_end

    def spoil(self, *rest):
        original(self, *rest)
        if self.global_step == 8:
            self.model.layer.weight.data.fill_(math.nan)

    monkeypatch.setattr(LineModule, "on_train_batch_end", spoil)
    run = LineRun.create(tmp_path / "run")
    config = LineConfig(training=dataclasses.replace(TRAINING, checkpoint_every="2 steps"))
    with pytest.raises(DivergedError, match="a weight is not finite in step 8"):
        run_job(LineTask(config), run, reporter=SILENT)
    assert torch.load(run.last, weights_only=True)["global_step"] == 6
    assert run.load(Line).layer.weight.isfinite().all()


def test_a_validation_whose_score_is_not_finite_chooses_no_epoch(tmp_path, monkeypatch):
    original = LineModule.validation_step

    def validate(self, batch, batch_idx):
        original(self, batch, batch_idx) if self.global_step < 12 else self.log("val_error", math.nan)

    monkeypatch.setattr(LineModule, "validation_step", validate)
    run = LineRun.create(tmp_path / "run")
    with pytest.raises(DivergedError, match="the val_error is nan in step 12"):
        run_job(LineTask(LineConfig()), run, reporter=SILENT)
    assert [row["epoch"] for row in read_history(run.history_file)] == [1]
    assert Progress.of(torch.load(run.last, weights_only=True)).best_epoch == 1


class Clock:
    """Stands still but for training steps, each of which takes so many seconds."""

    def __init__(self, monkeypatch, step):
        self.time = 0.0
        self.step = step
        original = LineModule.training_step

        def training_step(module, batch, batch_idx):
            self.time += self.step(module.global_step) if callable(self.step) else self.step
            return original(module, batch, batch_idx)

        monkeypatch.setattr(LineModule, "training_step", training_step)
        for module in ("durations", "time_limit"):
            monkeypatch.setattr(f"perceiver_pytorch.training.run.{module}.now", lambda: self.time)
        monkeypatch.setattr(LineModule, "configure_optimizers", scheduled)


def scheduled(module):
    return module.scheduled(torch.optim.AdamW(module.model.parameters(), lr=module.lr))


def limited(tmp_path, name, limit, **options):
    run, said = LineRun.create(tmp_path / name), []
    reporter = Reporter(say=said.append, warn=said.append)
    deadline = None if limit is None else Deadline(limit)
    return run, run_job(LineTask(LineConfig()), run, deadline=deadline, reporter=reporter, **options), said


def resumed(run, deadline=None):
    return run_job(LineTask(run.config()), run, resume=True, deadline=deadline, reporter=SILENT)


def test_a_time_limit_shortens_training_and_its_schedule(tmp_path, monkeypatch):
    """Of 18 steps 9 fit into 10 seconds with some to spare: the second of three epochs ends in its middle."""
    Clock(monkeypatch, step=1.0)
    run, outcome, said = limited(tmp_path, "run", 10.0)
    assert outcome.stopped is None
    assert any("leaves time for 9 of 18 steps" in line for line in said)
    history = read_history(run.history_file)
    assert [(row["epoch"], row["step"]) for row in history] == [(1, 6), (2, 9)]
    assert history[-1]["lr"] < 0.1 * TRAINING.lr
    last = torch.load(run.last, weights_only=True)
    progress = Progress.of(last)
    assert (last["global_step"], progress.complete, progress.plan.steps, progress.plan.begun) == (9, True, 9, 3)
    before = state(run)
    assert resumed(run).stopped is None
    assert state(run) == before


def state(run):
    return torch.load(run.last, weights_only=True)["state_dict"]["model.layer.weight"].item()


@pytest.mark.parametrize("at", [3, 4, 6, 7])
def test_a_limited_run_that_is_killed_goes_on_to_the_same_weights(tmp_path, monkeypatch, at):
    """After the plan was made and nothing else was saved, within an epoch, at its end and behind it."""
    clock = Clock(monkeypatch, step=1.0)
    whole, _, _ = limited(tmp_path, "whole", 10.0)

    def killed(step):
        if step == at:
            raise RuntimeError("killed")
        return 1.0

    clock.time, clock.step = 0.0, killed
    with pytest.raises(RuntimeError, match="killed"):
        limited(tmp_path, "killed", 10.0)
    run = LineRun.open(tmp_path / "killed")
    clock.step = 50.0  # however slow it is now
    resumed(run)
    assert Progress.of(torch.load(run.last, weights_only=True)).step == 9
    assert state(run) == state(whole)
    assert (run.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()


def test_where_steps_become_slow_the_limit_holds_and_the_end_is_measured(tmp_path, monkeypatch):
    clock = Clock(monkeypatch, step=1.0)
    whole, _, _ = limited(tmp_path, "whole", 10.0)
    clock.time, clock.step = 0.0, lambda step: 1.0 if step < 3 else 4.0
    run, outcome, said = limited(tmp_path, "run", 10.0)
    assert outcome.stopped == "the time limit of 10 s is reached"
    assert outcome.metrics["epochs"] == 0
    assert "the model is that of the last step" in said
    assert {name: outcome.metrics[name] for name in ("best_epoch", "steps", "passes")} == {
        "best_epoch": None,
        "steps": 5,
        "passes": 0.8333,
    }
    assert Progress.of(torch.load(run.last, weights_only=True)).step == 5
    assert resumed(run).stopped is None
    assert state(run) == state(whole)


def test_a_limit_that_leaves_time_for_all_changes_nothing(tmp_path, monkeypatch):
    Clock(monkeypatch, step=1.0)
    runs = [limited(tmp_path, name, limit)[0] for name, limit in (("limited", 100.0), ("whole", None))]
    assert [len(read_history(run.history_file)) for run in runs] == [3, 3]
    first, second = ((run.path / "model.safetensors").read_bytes() for run in runs)
    assert first == second


def test_a_run_that_goes_on_is_not_planned_anew(tmp_path, monkeypatch):
    clock = Clock(monkeypatch, step=1.0)
    whole, _, _ = limited(tmp_path, "whole", None)
    with monkeypatch.context() as patch:
        stop_after(patch, 7, INTERRUPTED)
        run, _, _ = limited(tmp_path, "run", None)
    clock.time = 0.0
    assert resumed(run, Deadline(5.0)).stopped == "the time limit of 5 s is reached"
    resumed(run)
    assert state(run) == state(whole)


def test_parts_that_are_not_trained_stay_as_they_are(tmp_path, monkeypatch):
    original, seen = LineModule.training_step, []

    def training_step(module, *batch):
        seen.append((module.training, module.model.layer.training))
        return original(module, *batch)

    monkeypatch.setattr(LineModule, "training_step", training_step)
    monkeypatch.setattr(LineModule, "on_fit_start", lambda module: module.model.layer.eval())
    limited(tmp_path, "run", 1000.0)
    assert set(seen) == {(True, False)}


def test_a_limit_that_has_passed_leaves_one_step(tmp_path):
    run = LineRun.create(tmp_path / "run")
    outcome = run_job(LineTask(LineConfig()), run, deadline=Deadline(1e-9), reporter=SILENT)
    assert outcome.stopped == "the time limit of 1e-09 s is reached"
    assert outcome.metrics["epochs"] == 0
    assert Progress.of(torch.load(run.last, weights_only=True)).step == 1


@pytest.mark.parametrize("step", ["training_step", "validation_step"])
def test_an_interruption_within_a_step_ends_the_job(tmp_path, monkeypatch, step):
    def interrupted(self, batch, batch_idx):
        raise KeyboardInterrupt

    monkeypatch.setattr(LineModule, step, interrupted)
    run = LineRun.create(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        run_job(LineTask(LineConfig()), run, reporter=SILENT)


def test_a_validation_in_between_writes_and_says_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    task = LineTask(LineConfig())
    module, loaders = task.module(SILENT), task.loaders()
    score, loss = validate(module, loaders, TRAINING)
    assert score == pytest.approx(abs(module.model.layer.weight.item() - 2.0))
    assert math.isnan(loss)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().out == ""

    def interrupted(self, batch, batch_idx):
        raise KeyboardInterrupt

    monkeypatch.setattr(LineModule, "validation_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        validate(module, loaders, TRAINING)


def module_of(**trainer):
    module = LineModule(Line(width=1), TrainingSettings(seed=5))
    module._trainer = SimpleNamespace(global_step=7, **trainer)
    return module


def test_random_numbers_of_a_step_depend_on_seed_and_step_alone():
    module = module_of()
    module.on_train_batch_start("a batch", 3)
    assert torch.initial_seed() == 5 * 1_000_003 + 7
    with pytest.raises(NotImplementedError):
        Resumable(0).monitor  # noqa: B018


@pytest.mark.parametrize(("done", "batches", "kept"), [(8, 6, 2), (6, 6, 0), (5, 6, 5), (3, 0, 0)])
def test_a_checkpoint_says_which_batch_comes_next(done, batches, kept):
    progress = SimpleNamespace(current=SimpleNamespace(completed=done))
    epochs = SimpleNamespace(current=SimpleNamespace(processed=2))
    fit_loop = SimpleNamespace(epoch_progress=epochs, epoch_loop=SimpleNamespace(batch_progress=progress))
    checkpoint = {}
    module_of(fit_loop=fit_loop, num_training_batches=batches).on_save_checkpoint(checkpoint)
    assert checkpoint == {"order_epoch": 2, "batch_in_epoch": kept}


@pytest.mark.parametrize("where", ["batch_sampler", "sampler"])
def test_a_sampler_goes_on_where_the_saved_epoch_stopped(where):
    sampler = EpochBatches(20, 4, seed=0)
    loader = SimpleNamespace(**{where: sampler})
    module = module_of(train_dataloader=None, current_epoch=3)
    module._trainer.fit_loop = SimpleNamespace(_data_source=SimpleNamespace(instance=loader))
    module.on_load_checkpoint({"order_epoch": 2, "batch_in_epoch": 4})
    assert (sampler.epoch, sampler.skip) == (2, 4)
    module.mean = MeanMetric()
    module.mean.update(3.0)
    module._trainer.train_dataloader = loader
    module.on_train_epoch_start()
    assert sampler.epoch == 3
    assert not module.mean.update_called
    module._trainer.train_dataloader = SimpleNamespace(sampler=range(3))  # of another kind: it is left alone
    module.on_load_checkpoint({"order_epoch": 1, "batch_in_epoch": 1})
    module.on_train_epoch_start()
    assert (sampler.epoch, sampler.skip) == (3, 4)


@pytest.mark.parametrize(
    ("scale", "gradient", "raises"),
    [(None, math.nan, True), (1.0, math.nan, False), (0.5, math.nan, True), (0.5, 3.0, False), (None, 3.0, False)],
)
@pytest.mark.parametrize("clip", [0.0, 2.0])
def test_a_gradient_is_clipped_and_must_be_finite_unless_it_was_scaled_up(scale, gradient, raises, clip):
    scaler = {} if scale is None else {"scaler": SimpleNamespace(get_scale=lambda: scale)}
    module = module_of(precision_plugin=SimpleNamespace(**scaler))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    module._trainer.optimizers = [optimizer]
    module.model.layer.weight.grad = torch.tensor([[gradient]])
    module.on_before_backward(torch.tensor(1.0))
    if raises:
        with pytest.raises(DivergedError, match="the gradient is not finite in step 8"):
            module.configure_gradient_clipping(optimizer, clip)
    else:
        module.configure_gradient_clipping(optimizer, clip)
    if gradient == 3.0:
        assert module.model.layer.weight.grad.item() == pytest.approx(clip or 3.0, rel=1e-5)
    module.on_before_backward(torch.tensor(math.nan))
    with pytest.raises(DivergedError, match="the loss is nan in step 8"):
        module.configure_gradient_clipping(optimizer, clip)


@pytest.mark.parametrize("batches", [0, 6])
def test_what_lightning_is_asked_for(batches):
    loaders = Loaders(train=[0] * batches, val=[0], steps=3 * max(1, batches))
    settings = dataclasses.replace(TRAINING, gradient_clip=0.5)
    trainer = loop._trainer(loaders, settings, "64-true", [], [], bar=False)
    assert (trainer.max_epochs, trainer.gradient_clip_val, trainer.log_every_n_steps) == (3, 0.5, 10)
    assert (trainer.num_sanity_val_steps, trainer.num_devices, trainer.precision) == (0, 1, "64-true")
    assert trainer.progress_bar_callback is None
    assert not any("Summary" in type(callback).__name__ for callback in trainer.callbacks)


def test_errors_of_writing_in_a_thread_are_told_once(monkeypatch):
    told = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    disk, other = (SimpleNamespace(exc_value=error) for error in (OSError("full"), ValueError("odd")))
    with loop._told_once():
        threading.excepthook(disk)
        threading.excepthook(other)
    assert told == [other]
    threading.excepthook(disk)
    assert told == [other, disk]


def test_weights_before_the_first_epoch_are_of_no_pass():
    """Without train batches there are no passes; the numbers are rounded for the file."""
    task = LineTask(LineConfig())
    loaders = dataclasses.replace(task.loaders(), train=[])
    ended = loop.Ended("enough", Progress(step=3))
    trained = Trained.of(task.module(SILENT), loaders, LineRun(Path("nowhere")), ended, None, None)
    assert trained.facts() == {"steps": 3, "passes": 3.0, "best_epoch": None, "precision": "32-true"}
    assert (trained.history, trained.plan, trained.deadline) == ([], None, None)
