"""Several processes train as one does: the same weights and the same history, of the same rows."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed

from perceiver_pytorch._settings import overlaid
from perceiver_pytorch.training.language.run import LanguageRun
from perceiver_pytorch.training.language.settings import LanguageConfig, language_preset
from perceiver_pytorch.training.language.task import LanguageTask
from perceiver_pytorch.training.run import job
from perceiver_pytorch.training.run.history import read_history
from perceiver_pytorch.training.run.loop import Resumable
from perceiver_pytorch.training.run.ranks import Place, check, is_first, joined
from perceiver_pytorch.training.run.settings import TrainingSettings
from perceiver_pytorch.training.run.sharding import gathered
from perceiver_pytorch.training.table.run import TableRun
from perceiver_pytorch.training.table.settings import FitConfig
from perceiver_pytorch.training.table.task import TableTask
from rank_helpers import in_forked_ranks
from training_helpers import SILENT, tiny_config, write_mixed_table, write_targets_table

pytestmark = pytest.mark.skipif(not distributed.is_available(), reason="this PyTorch has no torch.distributed")


def configs(folder: Path) -> dict[str, FitConfig | LanguageConfig]:
    """What is trained. No number of rows is a multiple of two, and the last step of a pass has one row."""
    table = tiny_config(folder / "mixed.csv", batch_size=4, lr=0.0)
    several = tiny_config(
        folder / "targets.csv", ["side", "tags", "weight"], batch_size=5, class_weights="balanced", lr=0.0
    )
    mixup = overlaid(table, {("augment", "mixup"): 0.5})
    found: dict[str, FitConfig | LanguageConfig] = {"table": table, "mixup": mixup, "targets": several}
    for objective, latents in (("causal", 4), ("masked", 4)):
        sizes = {"num_latents": latents, "latent_dim": 8, "embedding_dim": 8, "depth": 1, "heads": 2, "cross_heads": 2}
        values: dict[tuple[str, ...], Any] = {("model", name): size for name, size in sizes.items()}
        values |= {
            ("data", "file"): str(folder / "text.txt"),
            ("data", "context"): 12,
            ("model", "ff_dropout"): 0.1,
            ("training", "lr"): 0.0,
        }
        values |= {("training", "lr"): 0.0}
        values |= {("training", name): each for name, each in (("steps", 4), ("batch_size", 5), ("validate_every", 2))}
        found[objective] = overlaid(language_preset("tiny", objective), values)
    for name, config in list(found.items()):
        found[f"{name} fsdp"] = overlaid(config, {("training", "strategy"): "fsdp"})
    return found


def write_data(folder: Path) -> None:
    write_mixed_table(folder, rows=25)
    write_targets_table(folder, rows=31)
    (folder / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 40)


GRADIENTS: list[dict[str, Tensor]] = []
"""Of every step, before they are clipped."""


def note_gradients(module: Resumable, *_: Any, **__: Any) -> None:
    GRADIENTS.append({name: gathered(w.grad).clone() for name, w in module.named_parameters() if w.grad is not None})


def train(config: Any, folder: Path) -> None:
    """Everything but what the first rank does alone once training is over. The weights stay those of the beginning, so
    that gradients of all steps can be compared: Adam makes a step of any rounding error."""
    GRADIENTS.clear()
    task: Any = LanguageTask(config) if isinstance(config, LanguageConfig) else TableTask(config)
    kind: Any = LanguageRun if isinstance(config, LanguageConfig) else TableRun
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "_finish", keep)
        patch.setattr(Resumable, "configure_gradient_clipping", note_gradients)
        job.run_job(task, kind.create(folder) if is_first() else kind(folder), reporter=SILENT)


def train_each(folder: Path, where: str, names: Sequence[str]) -> None:
    """What each rank does."""
    for name in names:
        asked = configs(folder)[name]
        with joined(asked.training):
            train(asked, folder / where / name)


def keep(task: Any, run: Any, reporter: Any, trained: job.Trained) -> job.Outcome:
    torch.save(GRADIENTS, run.path / "gradients.pt")
    return job.Outcome({}, trained.stopped)


def compare(folder: Path, name: str, one: str, several: str) -> None:
    expected, found = (torch.load(folder / each / name / "gradients.pt", weights_only=True) for each in (one, several))
    assert len(expected) == len(found) > 3
    for before, now in zip(expected, found, strict=True):
        assert before.keys() == now.keys()
        for key, gradient in before.items():
            torch.testing.assert_close(now[key], gradient, rtol=1e-3, atol=2e-6)
    expected, found = (read_history(folder / each / name / "history.csv") for each in (one, several))
    assert len(expected) == len(found) > 0
    for before, now in zip(expected, found, strict=True):
        assert {**now, "seconds": 0} == pytest.approx({**before, "seconds": 0}, rel=2e-5, nan_ok=True)


QUICK, ALL = ("mixup", "table fsdp"), ("table", "mixup", "targets", "causal", "masked")
FSDP = tuple(f"{name} fsdp" for name in ALL)


@pytest.mark.parametrize(
    ("world", "names"),
    [
        (2, QUICK),
        *(pytest.param(world, names, marks=pytest.mark.nightly) for world, names in ((2, FSDP), (4, ALL), (4, FSDP))),
    ],
)
def test_ranks_train_as_one_process_does(tmp_path: Path, world: int, names: tuple[str, ...]) -> None:
    write_data(tmp_path)
    for name in names:
        train(configs(tmp_path)[name], tmp_path / "1" / name)
    in_forked_ranks(world, train_each, tmp_path, str(world), names)  # which have imported all that trains
    for name in names:
        compare(tmp_path, name, "1", str(world))


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table and settings."""
    folder = tmp_path_factory.mktemp("given")
    write_targets_table(folder, rows=31)
    sizes = {"num_latents": 4, "latent_dim": 16, "num_latent_blocks_per_layer": 1, "embedding_dim": 8}
    training = {"steps": 40, "batch_size": 5, "validate_every": 20, "checkpoint_every": "5 steps"}
    (folder / "tiny.yaml").write_text(json.dumps({"model": sizes, "training": training}))
    return folder


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "perceiver_pytorch", *words]


def fitted(folder: Path, run: str, *words: str) -> list[str]:
    return command("fit", "targets.csv", "--target=side", "--config=tiny.yaml", f"--run={run}", *words)


def done(folder: Path, words: list[str]) -> str:
    found = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=240)
    assert found.returncode == 0, found.stderr
    return found.stdout


def weights(folder: Path, run: str) -> bytes:
    return (folder / run / "model.safetensors").read_bytes()


def rank_of(process: subprocess.Popen[str], rank: int) -> int:
    """The process number of a rank that a command started."""
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            variables = (place / "environ").read_bytes().split(b"\0")
            if {f"PERCEIVER_STARTED_BY={process.pid}".encode(), f"RANK={rank}".encode()} <= set(variables):
                return int(place.name)
    raise AssertionError("no such rank")


def stopped(
    folder: Path, run: str, stop: Callable[[subprocess.Popen[str]], None], options: Sequence[str] = ()
) -> tuple[int, str]:
    """The exit code and the output of a run by two ranks that is stopped once it has saved."""
    words = fitted(folder, run, "--devices=2", *options)
    process = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while not (folder / run / "checkpoints" / "last.ckpt").exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    stop(process)
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


OPTIONS = {
    "ddp": (),
    "full": ("--strategy=fsdp",),
    "sharded": ("--strategy=fsdp", "--state-dict-type=sharded"),
}


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("how", OPTIONS)
def test_a_stopped_run_goes_on_to_the_same_bytes(given: Path, how: str) -> None:
    options = OPTIONS[how]
    done(given, fitted(given, f"{how}-whole", "--devices=2", *options))
    for rank in (0, 1):
        run = f"{how}-killed-{rank}"
        kill = lambda process: os.kill(rank_of(process, rank), signal.SIGKILL)  # noqa: B023, E731
        code, output = stopped(given, run, kill, options)
        assert code == 2
        assert f"rank {rank} (process " in output
        assert f"was killed by signal 9, SIGKILL, so all have ended. Go on with: perceiver fit --resume {run}" in output
        done(given, command("fit", "--resume", run))
        assert weights(given, run) == weights(given, f"{how}-whole")
    run = f"{how}-asked"
    code, output = stopped(given, run, lambda process: process.send_signal(signal.SIGINT), options)
    assert (code, output.splitlines()[-1]) == (130, f"stopped, all is saved; go on with: perceiver fit --resume {run}")
    output = done(given, command("fit", "--resume", run, "--devices=1"))
    assert "saved by 2 ranks, going on with 1 rank: every step has the rows that it would have had" in output


@pytest.mark.nightly
@pytest.mark.parametrize("how", ["ddp", "full"])
def test_ranks_whose_training_diverges_say_so_once(given: Path, how: str) -> None:
    words = fitted(given, f"{how}-diverged", "--devices=2", "--lr=1e9", *OPTIONS[how])
    found = subprocess.run(words, cwd=given, capture_output=True, text=True, timeout=240)
    assert found.returncode == 2
    (error,) = [line for line in found.stderr.splitlines() if line.startswith("error: ")]
    assert error.startswith("error: training diverged: the loss is nan in step 2")


@pytest.mark.nightly
def test_torchrun_starts_ranks(given: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    words = fitted(given, "module")[1:]
    done(given, [*torchrun, *words[:-1], "--run-folder=module"])
    done(given, [*torchrun, "--no-python", "--", *fitted(given, "program")])
    assert weights(given, "module") == weights(given, "program")
    assert read_history(given / "module" / "history.csv")


def surroundings(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    """Only these of the variables that say which rank this is."""
    monkeypatch.setattr(os, "environ", {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")})
    os.environ.update(variables)


def test_srun_says_which_rank_this_is(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"SLURM_NTASKS": "4", "SLURM_NNODES": "2", "SLURM_PROCID": "3", "SLURM_LOCALID": "1"}
    surroundings(monkeypatch, **told, SLURM_NODELIST="node[07-08]", SLURM_JOB_ID="71234")
    assert Place.here() == Place(rank=3, world=4, local_rank=1, local_world=2)
    assert (os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]) == ("node07", "16234")


def test_one_process_is_no_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    surroundings(monkeypatch)
    assert Place.here() is None
    surroundings(monkeypatch, RANK="0", WORLD_SIZE="1")
    assert Place.here() is None
    surroundings(monkeypatch, RANK="2", WORLD_SIZE="2")
    with pytest.raises(ValueError, match="do not say which rank this process is: RANK=2, WORLD_SIZE=2"):
        Place.here()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"devices": 3}, "--devices 3, but there are 2 processes on this machine"),
        ({"nodes": 3}, "--nodes 3, but there are 2 machines"),
        ({"batch_size": 3}, "--batch-size 3 are fewer rows than the 4 ranks"),
        (
            {"strategy": "fsdp", "precision": "16-mixed"},
            "--strategy fsdp goes with --precision 32-true, bf16-mixed, bf16-true, 16-true, got 16-mixed",
        ),
        ({"state_dict_type": "sharded"}, "with --strategy ddp each has all of them: give --strategy fsdp"),
    ],
)
def test_ranks_that_do_not_fit_the_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    asked = TrainingSettings(**settings, accelerator="cpu")
    with pytest.raises(ValueError, match=message):
        check(asked, Place(rank=0, world=4, local_rank=0, local_world=2))
    check(TrainingSettings(devices=2, nodes=2, accelerator="cpu"), Place(0, 4, 0, 2))


@pytest.mark.parametrize("settings", [{"strategy": "fsdp", "precision": "16-mixed"}, {"state_dict_type": "sharded"}])
def test_what_does_not_go_together_is_refused_of_one_process_too(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="--strategy"):
        check(TrainingSettings(**settings, accelerator="cpu"), None)
    check(TrainingSettings(strategy="fsdp", state_dict_type="sharded", accelerator="cpu"), None)


def test_several_ranks_need_to_be_started(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"devices=2 and nodes=1 need as many processes"):
        job.run_job(TableTask(tiny_config("x.csv", devices=2, accelerator="cpu")), TableRun.create(tmp_path / "run"))
