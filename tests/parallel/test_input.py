"""An input split over processes: results and gradients are those of one process that has everything.

Run as a program, this file is one of the processes.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.utils._pytree import tree_map

import perceiver_pytorch as P
from perceiver_pytorch.parallel import average_gradients, part, split_input
from perceiver_pytorch.parallel.input import stretch
from small_models import CLASSES, build, inputs, perceiver_io

pytestmark = pytest.mark.skipif(not distributed.is_available(), reason="this PyTorch has no torch.distributed")
NAMES = [name for name in CLASSES if name != "Perceiver"]


def outcome(model: nn.Module, given: Any, **options: Any) -> tuple[Any, dict[str, Tensor]]:
    """What a model gives, and the gradients."""
    model.zero_grad()
    out = model(given, **options)
    out.square().mean().backward()
    return out.detach(), {k: w.grad.clone() for k, w in model.named_parameters() if w.grad is not None}


def compare(model: nn.Module, given: dict[str, Tensor], wrapped: nn.Module | None = None, **options: Any) -> None:
    """``wrapped``: the model in DistributedDataParallel; None: gradients are averaged by hand."""
    expected, grads = outcome(model, given, **options)
    model.zero_grad()
    present = options.pop("present", None)
    pieces, masks, places = part(given, options.pop("mask", None), options.pop("coordinates", None))
    with split_input():
        out = (wrapped or model)(pieces, masks, coordinates=places, present=present)
    out.square().mean().backward()  # outside of the block: what is recomputed is joined there too
    if wrapped is None:
        average_gradients(model)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
    found = {key: weight.grad for key, weight in model.named_parameters() if key in grads}
    torch.testing.assert_close(found, grads, rtol=1e-3, atol=1e-6)


def masked(batch: dict[str, Tensor]) -> dict[str, Any]:
    """A mask under which one sample has tokens in the last process alone, and a modality that a sample lacks."""
    shape = batch["image"].shape[:-1]
    mask = torch.ones(shape, dtype=torch.bool)
    mask[0, :-1] = False
    return {"mask": {"image": mask}, "present": {"image": torch.tensor([True, False])}}


def work(rank: int, world: int, store: str) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    for name in NAMES:
        model, batch = build(name), inputs(name)
        compare(model, batch)
        compare(model, batch, **masked(batch))
        model.recompute = True
        compare(model, batch, nn.parallel.DistributedDataParallel(model))
    compare(perceiver_io(outputs=[P.Output("label", P.LearnedQueries(6), 10)]), inputs("MultiModalityPerceiver"))
    streams(world)
    refusals()
    distributed.destroy_process_group()


def streams(world: int) -> None:
    """A part may come in pieces itself."""
    model, batch = build("MultiModalityPerceiver"), {"audio": torch.randn(2, 11, 1)}
    expected, grads = outcome(model, batch)
    model.zero_grad()
    pieces, _, places = part(batch)
    streamed = tree_map(lambda data: P.StreamedInput(lambda: data.split(2, dim=1), data.shape), pieces)
    with split_input():
        out = model(streamed, coordinates=places)
    out.square().mean().backward()
    average_gradients(model)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        {k: w.grad for k, w in model.named_parameters() if k in grads}, grads, rtol=1e-3, atol=1e-6
    )


def refusals() -> None:
    model = build("MultiModalityPerceiver")
    model.layers[0][0].fn.to_kv.register_forward_hook(lambda *_: None)
    with split_input(), pytest.raises(NotImplementedError, match="adapters, hooks or shards"):
        model(inputs("MultiModalityPerceiver"))


@pytest.mark.parametrize("world", [2, pytest.param(4, marks=pytest.mark.nightly)])
def test_every_model(tmp_path: Path, world: int) -> None:
    environment = {**os.environ, "PERCEIVER_SHAPE_CHECKS": "0", "PYTHONPATH": str(Path(__file__).parents[1])}
    environment["PYTHONPATH"] = os.pathsep.join([environment["PYTHONPATH"], os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(Path(__file__))]
    processes = [
        subprocess.Popen(
            [*command, str(rank), str(world), str(tmp_path / "store")],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(world)
    ]
    for process in processes:
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output


def test_parts_cover_everything_once() -> None:
    for length in range(1, 12):
        for world in range(1, 7):
            bounds = [stretch(length, rank, world) for rank in range(world)]
            assert [start for start, _ in bounds[1:]] == [stop for _, stop in bounds[:-1]]
            assert (bounds[0][0], bounds[-1][1]) == (0, length)
            assert max(b - a for a, b in bounds) - min(b - a for a, b in bounds) <= 1


def test_without_processes_the_error_says_what_to_do() -> None:
    with (
        pytest.raises(RuntimeError, match=r"init_process_group first, or start the program by torchrun"),
        split_input(),
    ):
        pass


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    work(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
