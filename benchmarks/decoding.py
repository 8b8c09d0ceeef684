"""Memory and time of decoding many queries, all at once and in chunks: ``python -m benchmarks.decoding``."""

import argparse
import subprocess
import sys
import time

import torch

from benchmarks.memory import peak
from perceiver_pytorch import FourierQueries, InputModality, Output, PerceiverIO
from perceiver_pytorch._waiting import waiting

GRIDS = ((1, 224, 224), (4, 224, 224), (16, 224, 224))


def measure(frames: int, chunk_size: int | None) -> None:
    """Prints peak memory in MB and seconds of one forward."""
    model = PerceiverIO(
        modalities=[InputModality("data", 3, 1, num_freq_bands=8, max_freq=100.0)],
        outputs=[Output("video", FourierQueries((frames, 224, 224), num_freq_bands=32), 3)],
        num_latents=256,
        latent_dim=128,
        num_latent_block_repeats=1,
        query_chunk_size=chunk_size,
    ).eval()
    with torch.no_grad(), waiting():
        start = time.perf_counter()
        model(torch.randn(1, 1000, 3))
        print(round(peak() / 2**20), round(time.perf_counter() - start, 1))


def main() -> None:
    """A process for each case, so that each has a peak of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunk", type=int, default=8192, help="queries at a time")
    parser.add_argument("--case", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        measure(options.case[0], options.case[1] or None)
        return
    print("| queries | at once | in chunks |\n|---|---|---|")
    for grid in GRIDS:
        cells = []
        for chunk in (0, options.chunk):
            command = [sys.executable, "-m", "benchmarks.decoding", "--case", str(grid[0]), str(chunk)]
            memory, seconds = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            cells.append(f"{int(memory):,} MB, {seconds} s")
        print(f"| {grid[0]} x 224 x 224 = {grid[0] * 224 * 224:,} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
