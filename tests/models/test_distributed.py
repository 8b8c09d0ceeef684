"""Training in several processes: gradients are those of one process with the whole batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from small_models import CLASSES, build, inputs

BATCH, WORLD = 4, 2


def _loss(model: nn.Module, batch: object) -> Tensor:
    return model(batch).square().mean()


def _part(batch: object, rank: int) -> object:
    rows = slice(rank * BATCH // WORLD, (rank + 1) * BATCH // WORLD)
    return {name: data[rows] for name, data in batch.items()} if isinstance(batch, dict) else batch[rows]


def _work(rank: int, store: str) -> None:
    from torch import distributed
    from torch.nn.parallel import DistributedDataParallel

    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=WORLD)
    for name in CLASSES:
        model, batch = build(name), inputs(name, BATCH)
        _loss(model, batch).backward()
        expected = {key: weight.grad for key, weight in model.named_parameters()}
        parallel = DistributedDataParallel(model)
        for _ in range(2):  # the second pass fails where the first left a parameter without a gradient
            model.zero_grad()
            _loss(parallel, _part(batch, rank)).backward()
        for key, weight in model.named_parameters():
            torch.testing.assert_close(
                weight.grad, expected[key], rtol=1e-4, atol=1e-6, msg=lambda m, k=key: f"{k}: {m}"
            )
    distributed.destroy_process_group()


@pytest.mark.nightly
@pytest.mark.skipif(not torch.distributed.is_available(), reason="this PyTorch has no torch.distributed")
def test_every_model_in_two_processes(tmp_path: Path) -> None:
    helpers = str(Path(__file__).parents[1])
    environment = {**os.environ, "PERCEIVER_SHAPE_CHECKS": "0", "PYTHONPATH": helpers}
    command = [sys.executable, str(Path(__file__)), str(tmp_path / "store")]
    processes = [
        subprocess.Popen(
            [*command, str(rank)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for rank in range(WORLD)
    ]
    for process in processes:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output


if __name__ == "__main__":
    _work(int(sys.argv[2]), sys.argv[1])
