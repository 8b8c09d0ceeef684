"""One measurement in a process of its own: a job as JSON on standard input, the answer as the last line of the output.

A job is ``{"kind": "measure", "contestant": ..., "case": ..., "mode": ..., "repeats": ..., "budget": ..., "threads":
...}``, or of the kind ``"kernel"``, ``"floors"``, or ``"import"`` (does a peer import?). Kinds ``"gpu"`` and
``"gpu-graphs"`` are those of `benchmarks.gpu.measure`. The answer is the measurement, or ``{"error": reason}``.
"""

import contextlib
import importlib
import json
import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import floors, kernel, memory, timing
from benchmarks.cases import TRAIN, Case
from benchmarks.contestants import contestant
from benchmarks.gpu import measure as measure_on_gpu
from benchmarks.peers import PEERS, import_folders, without_paths

LEARNING_RATE = 1e-4
FINGERPRINT = 64
"""Values of the output that are compared."""
NO_MEMORY = ("can't allocate memory", "not enough memory", "bad_alloc")


def main() -> None:
    warnings.simplefilter("ignore")  # what libraries warn about is theirs
    job = json.loads(sys.stdin.read())
    torch.set_num_threads(job["threads"])
    try:
        with contextlib.redirect_stdout(sys.stderr):  # the answer must be the last line
            answer = answer_to(job)
    except Exception as error:
        answer = {"error": _reason(error)}
    print(json.dumps(answer), flush=True)


def answer_to(job: dict[str, Any]) -> dict[str, Any]:
    """The measurement that a job asks for."""
    if job["kind"] == "floors":
        return floors.measure(job["quick"])
    if job["kind"] == "import":
        sys.path[:0] = import_folders(job["peer"])
        importlib.import_module(PEERS[job["peer"]].module)
        return {}
    case = Case.from_json(job["case"])
    if job["kind"] == "kernel":
        sys.path[:0] = import_folders(None)
        return kernel.measure(case, job["repeats"], job["budget"])
    if job["kind"] == "gpu-graphs":
        sys.path[:0] = import_folders(None)
        return measure_on_gpu.graphs(case, job["device"], job["repeats"], job["budget"])
    module = contestant(job["contestant"])
    sys.path[:0] = import_folders(module.PEER)
    if job["kind"] == "gpu":
        return measure_on_gpu.measure(
            module.build(case), case, job["device"], job["mode"], module.WARM_UPS, job["repeats"], job["budget"]
        )
    return measure(module.build(case), case, job["mode"], module.WARM_UPS, job["repeats"], job["budget"])


def measure(model: nn.Module, case: Case, mode: str, warm_ups: int, repeats: int, budget: float) -> dict[str, Any]:
    """Times and memory of a model on its case, and the first output of the same weights in every library.

    Returns:
        first_call: seconds; times: seconds of each repeat; before, peak: bytes with model and inputs, and at most;
        output: the beginning of the first call's output.
    """
    step = _training_step(model, case) if mode == TRAIN else _forward(model, case)
    before = memory.resident()
    outputs: list[Tensor] = []
    first_call = timing.seconds(lambda: outputs.append(step()))
    output = outputs.pop().detach().float().flatten()[:FINGERPRINT].tolist()
    for _ in range(warm_ups - 1):
        step()
    times = timing.repeated(step, repeats, budget)
    return {
        "first_call": first_call,
        "times": times,
        "before": before,
        "peak": memory.peak(),
        "output": output,
    }


def _forward(model: nn.Module, case: Case) -> Callable[[], Tensor]:
    inputs = case.inputs()
    model.eval()

    def step() -> Tensor:
        with torch.no_grad(), _precision(case):
            return model(inputs)

    return step


def _training_step(model: nn.Module, case: Case) -> Callable[[], Tensor]:
    """Forward, loss, backward, and a step of gradient descent; inputs get no gradient.

    The step is written out: ``torch.optim`` imports PyTorch's compiler, 0.11 GB that are nobody's work here.
    """
    inputs = case.inputs()
    parameters = list(model.parameters())
    model.train()

    def step() -> Tensor:
        model.zero_grad(set_to_none=True)
        with _precision(case):
            output = model(inputs)
        case.loss(output).backward()
        with torch.no_grad():
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter -= LEARNING_RATE * parameter.grad
        return output

    return step


def _precision(case: Case) -> contextlib.AbstractContextManager[Any]:
    if case.precision == "bfloat16":
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return contextlib.nullcontext()


def _reason(error: Exception) -> str:
    text = str(error)
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(sign in text for sign in NO_MEMORY):
        return "out of memory"
    line = text.strip().splitlines()[0] if text.strip() else ""
    return without_paths(f"{type(error).__name__}: {line}")


if __name__ == "__main__":
    main()
