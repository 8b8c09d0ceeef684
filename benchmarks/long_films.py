"""A film of hours beside one of minutes: memory and time of an answer and of a training step.

python -m benchmarks.long_films [--seconds 120 1200 7200] [-o FILE]

Films of noise, 32x32 pixels at 2 frames a second, are made in a temporary folder. Each is read by a process of its own
as `perceiver fit` reads it: in pieces of a minute, by two layers and a head, in one thread. Memory is that of this
process at its peak; the one that decodes takes 50 MB more. docs/scaling.md has the result.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import describe

RATE, SIDE = 2, 32  # frames a second, pixels


def write_film(path: Path, seconds: int) -> None:
    """A film of noise."""
    import av
    import numpy as np

    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        for _ in range(RATE * seconds):
            pixels = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def work(folder: Path, seconds: int) -> dict[str, Any]:
    """What a process measures that reads a film of so many seconds, in a table with a short one."""
    import numpy as np
    import pyarrow
    import torch

    from benchmarks.memory import peak
    from perceiver_pytorch.data import InputSpec, SpecOptions, Table, TableDataset, collate
    from perceiver_pytorch.training.table.build import build_model, run_model, with_heads
    from perceiver_pytorch.training.table.settings import ModelConfig

    torch.set_num_threads(1)
    for name, length in (("short", 8), ("long", seconds)):
        write_film(folder / f"{name}.mp4", length)
    table = Table("films", folder, pyarrow.table({"film": ["short.mp4", "long.mp4"], "y": ["a", "b"]}))
    options, rows = SpecOptions(max_video_seconds=None, video_rate=RATE), np.arange(2)
    spec = InputSpec.fit(table, {"film": "video"}, target="y", rows=rows, options=options)
    dataset = TableDataset(table, rows, spec, workers=0)
    model = with_heads(build_model(spec, ModelConfig()), spec)
    found: dict[str, Any] = {"film_s": seconds, "frames": RATE * seconds}

    def step(row: int) -> None:
        batch = collate(dataset.samples([row])[0], spec)
        sum(each.square().mean() for each in run_model(model, batch, spec.targets).values()).backward()

    def timed(name: str, compute: Any) -> None:
        began = time.perf_counter()
        compute()
        found[name] = time.perf_counter() - began

    step(0)  # compiles, and gives the stem its statistics
    timed("look_s", lambda: dataset.samples([1]))
    with torch.no_grad():
        timed("answer_s", lambda: run_model(model, collate(dataset.samples([1])[0], spec), spec.targets))
    timed("step_s", lambda: step(1))
    return {**found, "memory_mb": peak() >> 20}


def measured(seconds: int) -> dict[str, Any]:
    """`work` in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "benchmarks.long_films", f"--folder={folder}", f"--seconds={seconds}"]
        told = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(told.splitlines()[-1])


def page(rows: Sequence[dict[str, Any]]) -> str:
    """A table."""
    lines = [
        "| film, s | frames | first look, s | an answer, s | a training step, s | peak memory, MB |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['film_s']:,} | {row['frames']:,} | {row['look_s']:.1f} | {row['answer_s']:.1f} | {row['step_s']:.1f} "
        f"| {row['memory_mb']:,} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, nargs="+", default=[120, 1200, 7200])
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    if given.folder:
        print(json.dumps(work(given.folder, *given.seconds)))
        return
    here = describe(threads=1)
    told = f"On {here['processor']}, {here['cores']} cores, {here['instructions']}, PyTorch {here['torch']}."
    text = f"{told}\n\n{page([measured(seconds) for seconds in given.seconds])}\n"
    print(text)
    if given.output:
        given.output.write_text(text)


if __name__ == "__main__":
    main()
