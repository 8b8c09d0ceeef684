"""Times and memory of a model on a device; runs in a worker (`benchmarks.worker`)."""

import contextlib
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import memory, timing
from benchmarks.cases import TRAIN, Case

FINGERPRINT = 64
WARM_UPS = 3


def measure(
    model: nn.Module, case: Case, device: str, mode: str, warm_ups: int, repeats: int, budget: float
) -> dict[str, Any]:
    """Like `benchmarks.worker.measure`.

    Returns:
        first_call: seconds; times: seconds of each repeat, until the device is done; before, peak: bytes that were
        allocated on the device (on a CPU: resident); output: the beginning of the first call's output.
    """
    with _on(device):
        step = _step(model.to(device), case, device, mode)
        before = _allocated(device)
        _forget_peak(device)
        outputs: list[Tensor] = []
        first_call = _seconds(lambda: outputs.append(step()), device)
        output = outputs.pop().detach().float().flatten()[:FINGERPRINT].tolist()
        for _ in range(max(WARM_UPS, warm_ups) if device == "cuda" else warm_ups - 1):
            step()
        times: list[float] = []
        while not times or (len(times) < repeats and sum(times) < budget):
            times.append(_seconds(step, device))
        return {
            "first_call": first_call,
            "times": times,
            "before": before,
            "peak": _peak(device),
            "output": output,
            "failed": failures(),
        }


def graphs(case: Case, device: str, repeats: int, budget: float) -> dict[str, Any]:
    """The forward by itself, compiled by PyTorch, and recorded as a CUDA graph: times, and how far outputs differ.

    On a CPU there is no graph to record, and PyTorch's compiler follows the model without compiling it.
    """
    from benchmarks.contestants import ours

    model = ours.build(case)
    with _on(device):
        model.to(device).eval()
        inputs = _inputs(case, device)
        compiled = torch.compile(model, backend="inductor" if device == "cuda" else "aot_eager")
        with torch.no_grad(), _precision(case, device):
            eager = model(inputs)
            ways: dict[str, Callable[[], Tensor]] = {"eager": lambda: model(inputs)}
            ways["torch.compile"] = lambda: compiled(inputs)
            if device == "cuda":
                ways["CUDA graph"] = _recorded(model, inputs)
            answer: dict[str, Any] = {}
            for name, way in ways.items():
                output = way()
                times: list[float] = []
                while len(times) < repeats and sum(times) < budget:
                    times.append(_seconds(way, device))
                largest = (output - eager).abs().max() / eager.abs().max()
                answer[name] = {"times": times, "apart": largest.item()}
    return answer


def failures() -> list[str]:
    """Why the kernels could not run, where the chunked backend took their place."""
    triton = sys.modules.get("perceiver_pytorch.ops.backends.triton")
    return [] if triton is None else list(triton._failures)


def _recorded(model: nn.Module, inputs: dict[str, Tensor]) -> Callable[[], Tensor]:
    """The forward as a CUDA graph, which is played back."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            model(inputs)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = model(inputs)

    def play() -> Tensor:
        graph.replay()
        return output

    return play


def _step(model: nn.Module, case: Case, device: str, mode: str) -> Callable[[], Tensor]:
    inputs = _inputs(case, device)
    with torch.device("cpu"):
        targets = case.targets().to(device)
    training = mode == TRAIN
    model.train(training)

    def step() -> Tensor:
        model.zero_grad(set_to_none=True)
        with torch.set_grad_enabled(training), _precision(case, device):
            output = model(inputs)
        if training:
            torch.nn.functional.cross_entropy(output.float(), targets).backward()
        return output

    return step


def _inputs(case: Case, device: str) -> dict[str, Tensor]:
    with torch.device("cpu"):  # the same numbers on every device
        inputs = case.inputs()
    return {name: tensor.to(device) for name, tensor in inputs.items()}


@contextlib.contextmanager
def _on(device: str) -> Any:
    """What contestants make while they run, they make on the device."""
    with torch.device(device):
        yield


def _precision(case: Case, device: str) -> contextlib.AbstractContextManager[Any]:
    if case.precision == "bfloat16":
        return torch.autocast(device, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def _seconds(call: Callable[[], object], device: str) -> float:
    """Until the device has done it."""

    def done() -> None:
        call()
        if device == "cuda":
            torch.cuda.synchronize()

    if device == "cuda":
        torch.cuda.synchronize()
    return timing.seconds(done)


def _allocated(device: str) -> int:
    return torch.cuda.memory_allocated() if device == "cuda" else memory.resident()


def _forget_peak(device: str) -> None:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()


def _peak(device: str) -> int:
    return torch.cuda.max_memory_allocated() if device == "cuda" else memory.peak()
