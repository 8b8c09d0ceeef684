"""The cross-attend of this repository alone: one context, random rows.

``python -m benchmarks.kernel`` looks at its compiled loops, one instruction set after the other: cycles for a register
of (row, token) pairs on one thread, what the inner loop consists of, and what the units of the processor allow.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.cases import Case
from benchmarks.contestants.dense import token_channels
from benchmarks.machine import describe
from benchmarks.timing import repeated

WARM_UPS = 2


def measure(case: Case, repeats: int, budget: float) -> dict[str, Any]:
    """Times of ``attend`` on the case's largest modality, and of the same with its gradient for the rows.

    Returns:
        pairs: (latent, token) pairs of the whole batch; forward, both: seconds of each call.
    """
    from perceiver_pytorch._waiting import waiting
    from perceiver_pytorch.ops import attend

    context, rows = problem(case)

    def forward() -> None:
        with torch.no_grad():
            attend(rows, context)

    def both() -> None:
        mixed, lse = attend(rows.requires_grad_(), context)
        torch.autograd.backward((mixed, lse), gradients)

    gradients = (torch.randn_like(rows), torch.randn(rows.shape[:-1]))
    with waiting():
        for _ in range(WARM_UPS):
            forward()
            both()
    times: dict[str, list[float]] = {"forward": [], "both": []}
    for _ in range(repeats):  # in turns: what slows the machine down slows both
        times["forward"] += repeated(forward, 1, budget)
        times["both"] += repeated(both, 1, budget)
        if sum(map(sum, times.values())) > budget:
            break
    return {"pairs": rows.shape[0] * rows.shape[1] * context.num_tokens, **times}


def problem(case: Case) -> tuple[Any, Tensor]:
    """The largest modality's context and rows ``(batch, latents, channels)``."""
    from perceiver_pytorch import InputModality
    from perceiver_pytorch.models.modalities import make_context

    largest = max(case.modalities, key=lambda modality: modality.num_tokens)
    arguments = (largest.name, largest.channels, len(largest.axes), largest.num_freq_bands, largest.max_freq)
    code = None
    if case.model != "Perceiver":
        code = torch.zeros(len(case.modalities))
        code[sorted(m.name for m in case.modalities).index(largest.name)] = 1.0
    context = make_context(
        InputModality(*arguments),
        case.inputs()[largest.name],
        width=token_channels(case),
        code=code,
        freq_scale="log",
    )
    # Scores of a deviation of about 1, as after initialisation.
    rows = torch.randn(case.batch, case.arguments["num_latents"], context.num_channels) * context.num_channels**-0.5
    return context, rows


@dataclass(frozen=True)
class InstructionSet:
    """What loops are compiled for.

    Args:
        name: the printed one.
        settings: Numba's, as environment variables; none for those of this processor.
        units: operations on a register that begin in a cycle: multiply-adds, other arithmetic, loads, stores. The same
            number twice where multiply-adds and the others share their units.
        shared: whether they do.
        source: where these numbers are from.
        processors: PyTorch's names of those that run what Numba compiles by these settings.
        triple, cpu: compile for another architecture, and measure nothing.
    """

    name: str
    settings: dict[str, str]
    units: tuple[float, float, float, float]
    shared: bool
    source: str
    processors: tuple[str, ...]
    triple: str = ""
    cpu: str = ""

    def bound(self, parts: dict[str, float]) -> float:
        """Cycles for a register of pairs at least, by the unit that has most to do."""
        multiply_adds, others, loads, stores = self.units
        arithmetic = [parts["multiply-adds"] / multiply_adds, parts["other arithmetic"] / others]
        most = sum(arithmetic) if self.shared else max(arithmetic)
        return max(most, (parts["loads"]) / loads, parts["stores"] / stores)


AVX2 = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"}
ZEN_4 = "Zen 4, which takes two cycles for a register"
ARM = "aarch64-unknown-linux-gnu", "neoverse-n1"
INSTRUCTION_SETS = (
    InstructionSet("AVX-512", {}, (1, 1, 1, 0.5), False, ZEN_4, ("AVX512",)),
    InstructionSet("AVX2", AVX2, (2, 2, 2, 1), False, "Zen 3 and 4", ("AVX2", "AVX512")),
    InstructionSet("aarch64", AVX2, (2, 2, 2, 1), True, "Neoverse N1", ("AVX2", "AVX512"), *ARM),
)
ROWS = 8, 16
KINDS = {
    "multiply-adds": r"v?f(n?madd|n?msub)\d*ps|v?mulps|fml[as]|fmul",
    "other arithmetic": r"v?(add|sub|min|max)ps|v?round\w*|v?rndscaleps|v?cvt\w+|vp?sll\w+|vpadd\w|f(add|sub)|frint\w"
    r"|fcvt\w+|shl|add\s+v\S+",
}

ROUNDING = r"v?round\w*|v?rndscaleps|frint\w"
"""There is one for each register of pairs."""


def problems() -> dict[str, tuple[Any, int]]:
    """A frame of video, whose loops sum by position, and sound, whose features are channels; and how many channels the
    loops have."""
    from perceiver_pytorch import InputModality
    from perceiver_pytorch.models.modalities import make_context

    code = torch.tensor([0.0, 0.0, 1.0])
    video = InputModality(name="video", input_channels=3, input_axis=3, num_freq_bands=6, max_freq=4.0)
    sound = InputModality(name="sound", input_channels=1, input_axis=1, num_freq_bands=6, max_freq=8.0)
    frame, wave = torch.rand(1, 1, 260, 260, 3), torch.rand(1, 65536, 1)
    return {
        "video": (make_context(video, frame, width=46, code=code, freq_scale="log"), 3),
        "sound": (make_context(sound, wave, width=46, code=code, freq_scale="log"), 14),
    }


@contextmanager
def recorded() -> Iterator[list[tuple[Any, tuple[Any, ...]]]]:
    """The calls of loops within the block, with their arguments."""
    from perceiver_pytorch.ops import threads

    calls: list[tuple[Any, tuple[Any, ...]]] = []
    run = threads.run

    def record(loop: Callable[..., Any], *arguments: Any, num_parts: int, room: int | None = None) -> None:
        calls.append((loop, arguments if room is None else (threads.memory(room), *arguments)))
        run(loop, *arguments, num_parts=num_parts, room=room)

    with patch.object(threads, "run", record):
        yield calls


def loops_of(context: Any, num_rows: int) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """The loops that rows go through, and their arguments, by name."""
    from perceiver_pytorch.ops import attend

    rows = (torch.randn(1, num_rows, context.num_channels) * context.num_channels**-0.5).requires_grad_()
    with recorded() as calls:
        mixed, lse = attend(rows, context)
        torch.autograd.backward((mixed, lse), (torch.randn_like(mixed), torch.randn(lse.shape)))
    return {loop.__name__: (loop, arguments) for loop, arguments in calls}


def cycles_per_second() -> float:
    """The clock, from a chain of operations of one cycle each."""
    import numba

    @numba.njit
    def chain(count: int, x: int, y: int, z: int) -> int:
        for _ in range(count):
            x = (x ^ y) + z
        return x

    count = 2_000_000
    chain(1, 1, 2, 3)
    return 2 * count / min(repeated(lambda: chain(count, 1, 12345, 67890), 30, 5.0))


def assembly(loop: Any, arguments: tuple[Any, ...], to: InstructionSet) -> str:
    """A loop compiled anew."""
    import numba
    from llvmlite import binding

    from perceiver_pytorch.ops import threads

    compiled = numba.jit(**loop.targetoptions)(loop.py_func)
    compiled.compile(tuple(numba.typeof(argument) for argument in (threads.counter(), *arguments)))
    if not to.triple:
        return str(next(iter(compiled.inspect_asm().values())))
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    machine = binding.Target.from_triple(to.triple).create_target_machine(cpu=to.cpu, opt=3)
    code = re.sub(r'target (triple|datalayout) = ".*"\n', "", next(iter(compiled.inspect_llvm().values())))
    return str(machine.emit_assembly(binding.parse_assembly(code)))


def inner_loop(code: str) -> dict[str, float]:
    """What the loop over blocks consists of, per register of pairs: operations, loads, stores, and of these two those
    that put registers aside on the stack."""
    blocks = [[line.strip() for line in part.splitlines()] for part in re.split(r"\n\.?\w+:", code)]

    def count(kind: str, lines: list[str]) -> int:
        return sum(bool(re.match(kind, line)) for line in lines)

    # The ends of lines have a loop of their own, with an operation more.
    multiplies = [count(KINDS["multiply-adds"], block) for block in blocks]
    largest = [block for block, number in zip(blocks, multiplies, strict=True) if 2 * number > max(multiplies)]
    lines = min(largest, key=lambda block: count(KINDS["multiply-adds"], block) / max(1, count(ROUNDING, block)))
    registers = count(ROUNDING, lines)
    counts = {name: float(count(kind, lines)) for name, kind in KINDS.items()}
    wide = [line for line in lines if re.search(r"[xyz]mm\d|\b[qv]\d", line)]
    memory = [line for line in wide if re.search(r"\(%|\[", line)]
    stores = [line for line in memory if re.match(r"st|v?mov\w*\s+%[xyz]mm", line)]
    # A pair of registers in one instruction of aarch64 is two.
    weight = {line: 2 if re.match(r"[sl][td]n?p\s", line) else 1 for line in memory}
    counts["stores"] = float(sum(weight[line] for line in stores))
    counts["loads"] = float(sum(weight[line] for line in memory) - sum(weight[line] for line in stores))
    counts["spills"] = float(sum(weight[line] for line in memory if re.search(r"%rsp|%rbp|\[sp|\[x29", line)))
    return {name: count / registers for name, count in counts.items()}


def looked_at(to: InstructionSet, repeats: int) -> list[dict[str, Any]]:
    """The loops of each problem, in this process, whose Numba compiles for this instruction set."""
    from perceiver_pytorch._waiting import waiting
    from perceiver_pytorch.ops import threads

    with patch.object(platform, "machine", return_value=to.name if to.triple else platform.machine()):
        from perceiver_pytorch.ops.backends.simd import WIDTH

    torch.set_num_threads(1)
    clock, found = cycles_per_second(), []
    for name, (context, channels) in problems().items():
        with waiting():
            few, many = (loops_of(context, num_rows) for num_rows in ROWS)
        for loop in few:
            line = {"problem": name, "channels": channels, "loop": loop, **inner_loop(assembly(*few[loop], to))}
            if not to.triple:
                best = [float("inf")] * 2
                for _ in range(repeats):
                    for i, (function, arguments) in enumerate((few[loop], many[loop])):
                        begin = time.perf_counter()
                        function(threads.counter(), *arguments)
                        best[i] = min(best[i], time.perf_counter() - begin)
                per_row = (best[1] - best[0]) / (ROWS[1] - ROWS[0])
                line["cycles"] = per_row * clock / context.num_tokens * WIDTH
            found.append(line)
    return found


def main() -> None:
    """Looks at each instruction set in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [instructions.name for instructions in INSTRUCTION_SETS]
    parser.add_argument("--sets", nargs="+", choices=names, default=names)
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    chosen = [instructions for instructions in INSTRUCTION_SETS if instructions.name in given.sets]
    if given.inside:
        print(json.dumps(looked_at(chosen[0], given.repeats)))
        return
    has = torch.backends.cpu.get_cpu_capability()
    left_out = [instructions.name for instructions in chosen if has not in instructions.processors]
    chosen = [instructions for instructions in chosen if instructions.name not in left_out]
    if not chosen:
        parser.error(f"this processor ({has}) runs none of {', '.join(left_out)}")
    print(f"{describe(1)['processor']}, one thread; all numbers are per register of pairs\n")
    columns = ("loop", "channels", "cycles", "bound", *KINDS, "loads", "stores", "spills")
    print("| instructions |", " | ".join(columns), "|")
    print("|---" * (len(columns) + 1) + "|")
    for instructions in chosen:
        command = [sys.executable, "-m", "benchmarks.kernel", "--inside", "--sets", instructions.name]
        environment = {**os.environ, **instructions.settings}
        done = subprocess.run(
            [*command, "--repeats", str(given.repeats)], env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        for line in json.loads(done.stdout):
            line["bound"] = instructions.bound(line)
            cells = (f"{line[c]:.1f}" if isinstance(line.get(c), float) else str(line.get(c, "–")) for c in columns)
            print(f"| {instructions.name} |", " | ".join(cells), "|", flush=True)
    for instructions in chosen:
        print(f"\nUnits of {instructions.name}: {instructions.source}.", end="")
    print(f"\nLeft out, since this processor ({has}) does not have it: {', '.join(left_out)}" if left_out else "")


if __name__ == "__main__":
    main()
