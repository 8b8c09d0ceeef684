"""One sample's input split over processes: what crosses the network, how long a step takes, and memory.

python -m benchmarks.split_input [--processes 1 2 4] [--tokens 65536 1048576] [-o FILE]

Each process reads its stretch of one sound, forward and backward, in a thread of its own. Bytes are those of the arrays
that are reduced, counted at the calls of `torch.distributed.all_reduce`, without those of the weights' gradients, whose
number does not depend on the input. docs/scaling.md has what they should be.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.machine import describe

DEPTH, LATENTS, HEADS, DIM_HEAD = 2, 64, 1, 64
ROUNDS = 3


def expected_bytes(depth: int = DEPTH) -> int:
    """Of one sample, forward and backward: docs/scaling.md."""
    return depth * 4 * HEADS * LATENTS * (2 * (DIM_HEAD + 1) + 1)


def work(rank: int, world: int, tokens: int, store: str) -> dict[str, Any]:
    """What one of the processes measures."""
    import torch
    from torch import distributed

    from benchmarks.memory import peak
    from perceiver_pytorch import InputModality, MultiModalityPerceiver
    from perceiver_pytorch._waiting import waiting
    from perceiver_pytorch.parallel import split_input
    from perceiver_pytorch.parallel.input import stretch

    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    torch.manual_seed(0)
    sound = InputModality("sound", input_channels=1, input_axis=1, num_freq_bands=8, max_freq=1000.0)
    model = MultiModalityPerceiver(
        modalities=[sound],
        depth=DEPTH,
        num_latents=LATENTS,
        latent_dim=64,
        cross_heads=HEADS,
        cross_dim_head=DIM_HEAD,
        latent_heads=2,
        latent_dim_head=32,
        num_classes=10,
    )
    start, stop = stretch(tokens, rank, world)
    data = {"sound": torch.sin(torch.arange(start, stop, dtype=torch.float32) / 50)[None, :, None]}
    places = {"sound": [torch.linspace(-1, 1, tokens)[start:stop]]}
    sent: list[int] = []
    reduce = distributed.all_reduce

    def counted(tensor: Any, *arguments: Any, **options: Any) -> Any:
        sent.append(tensor.numel() * tensor.element_size())
        return reduce(tensor, *arguments, **options)

    distributed.all_reduce = counted  # type: ignore[assignment]
    seconds = []
    for _ in range(ROUNDS + 1):
        sent.clear()
        distributed.barrier()
        began = time.perf_counter()
        with split_input(), waiting():
            out = model(data, coordinates=places)
        out.square().mean().backward()
        seconds.append(time.perf_counter() - began)
    distributed.barrier()
    distributed.destroy_process_group()
    return {"bytes": sum(sent), "seconds": median(seconds[1:]), "memory_mb": peak() >> 20}


def measured(world: int, tokens: int) -> dict[str, Any]:
    """What ``world`` processes measure: the bytes of one, the slowest's seconds, and the memory of the largest."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "benchmarks.split_input", f"--store={folder}/store", f"--tokens={tokens}"]
        words.append(f"--processes={world}")
        started = [
            subprocess.Popen([*words, f"--rank={rank}"], stdout=subprocess.PIPE, text=True) for rank in range(world)
        ]
        told = [json.loads(each.communicate()[0].splitlines()[-1]) for each in started]
    assert len({one["bytes"] for one in told}) == 1
    return {
        "processes": world,
        "tokens": tokens,
        "bytes": told[0]["bytes"],
        "seconds": max(one["seconds"] for one in told),
        "memory_mb": max(one["memory_mb"] for one in told),
    }


def page(rows: Sequence[dict[str, Any]]) -> str:
    """The table, with how many times as fast as one process each row is."""
    alone = {row["tokens"]: row["seconds"] for row in rows if row["processes"] == 1}
    here = describe(threads=1)
    lines = [
        f"On {here['processor']}, {here['cores']} cores, {here['instructions']}, PyTorch {here['torch']}, gloo.",
        f"{DEPTH} layers, {LATENTS} latents, {HEADS} head of {DIM_HEAD}; expected: {expected_bytes():,} bytes.",
        "",
        "| tokens | processes | bytes reduced | seconds per step | times one process | peak memory of a process, MB |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        ratio = f"{alone[row['tokens']] / row['seconds']:.2f}" if row["tokens"] in alone else ""
        cells = f"{row['tokens']:,}", row["processes"], f"{row['bytes']:,}", f"{row['seconds']:.3f}", ratio
        lines.append(f"| {' | '.join(map(str, cells))} | {row['memory_mb']} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--tokens", type=int, nargs="+", default=[65_536, 1_048_576])
    parser.add_argument("-o", type=Path)
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--store", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.rank is not None:
        print(json.dumps(work(asked.rank, asked.processes[0], asked.tokens[0], asked.store)))
        return
    text = page([measured(world, tokens) for tokens in asked.tokens for world in asked.processes])
    print(text)
    if asked.o:
        asked.o.write_text(text)


if __name__ == "__main__":
    main()
