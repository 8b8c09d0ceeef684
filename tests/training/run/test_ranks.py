"""Several processes train as one does: the same weights and the same history, of the same rows.

Run as a program, this file is one of the ranks.
"""

import sys
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
from perceiver_pytorch.training.run.ranks import is_first, joined
from perceiver_pytorch.training.table.run import TableRun
from perceiver_pytorch.training.table.settings import FitConfig
from perceiver_pytorch.training.table.task import TableTask
from rank_helpers import in_ranks
from training_helpers import SILENT, tiny_config, write_mixed_table, write_targets_table

pytestmark = pytest.mark.skipif(not distributed.is_available(), reason="this PyTorch has no torch.distributed")


def configs(folder: Path) -> dict[str, FitConfig | LanguageConfig]:
    """What is trained. No number of rows is a multiple of two, and the last step of a pass has one row."""
    table = tiny_config(folder / "mixed.csv", batch_size=4, lr=0.0)
    several = tiny_config(
        folder / "targets.csv", ["side", "tags", "weight"], batch_size=5, class_weights="balanced", lr=0.0
    )
    found: dict[str, FitConfig | LanguageConfig] = {"table": table, "targets": several}
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
    return found


def write_data(folder: Path) -> None:
    write_mixed_table(folder, rows=25)
    write_targets_table(folder, rows=31)
    (folder / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 40)


GRADIENTS: list[dict[str, Tensor]] = []
"""Of every step, before they are clipped."""


def note_gradients(module: Resumable, *_: Any, **__: Any) -> None:
    GRADIENTS.append({name: w.grad.clone() for name, w in module.named_parameters() if w.grad is not None})


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


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of one process."""
    folder = tmp_path_factory.mktemp("ranks")
    write_data(folder)
    for name, config in configs(folder).items():
        train(config, folder / "1" / name)
    return folder


@pytest.mark.parametrize("world", [2, pytest.param(4, marks=pytest.mark.nightly)])
def test_ranks_train_as_one_process_does(alone: Path, world: int) -> None:
    in_ranks(world, str(Path(__file__)), str(alone), str(world))
    for name in configs(alone):
        compare(alone, name, "1", str(world))


if __name__ == "__main__":
    where = Path(sys.argv[1])
    for each, asked in configs(where).items():
        with joined(asked.training):
            train(asked, where / sys.argv[2] / each)
