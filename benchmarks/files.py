"""What it costs to decode files in a process of their own: ``python -m benchmarks.files``."""

import argparse
import io
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from perceiver_pytorch.data.media import decoding
from perceiver_pytorch.data.media.audio_file import read_audio
from perceiver_pytorch.data.media.fitting import Box
from perceiver_pytorch.data.media.image_file import read_image, to_array

BOX = Box(64, 64, "pad")
IMAGES = ((28, "PNG"), (224, "JPEG"), (1000, "JPEG"), (4000, "JPEG"))
SECONDS = (1, 60)
RATE = 16_000


def image(size: int, form: str) -> bytes:
    """A square picture of so many pixels a side."""
    from PIL import Image

    wave = np.sin(np.arange(size) / 20)
    pixels = np.add.outer(wave, wave)[..., None] * (30, 20, 10) + np.random.default_rng(0).integers(
        80, 170, (size, 1, 3)
    )
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, form)
    return buffer.getvalue()


def sound(seconds: int) -> bytes:
    """Noise in a WAV file."""
    import soundfile

    buffer = io.BytesIO()
    samples = np.random.default_rng(0).normal(0, 0.1, RATE * seconds)
    soundfile.write(buffer, samples, RATE, format="WAV")
    return buffer.getvalue()


def cases() -> Iterator[tuple[str, bytes, Callable[[Any], Any], Callable[[Any], Any]]]:
    """What it is, its bytes, how it is decoded here, and how in the process."""
    for size, form in IMAGES:
        here = lambda source: to_array(read_image(source, BOX).image, 3)  # noqa: E731
        yield f"{form}, {size} x {size}", image(size, form), here, lambda source: decoding.image(source, BOX, 3)
    for seconds in SECONDS:
        wanted = RATE * min(seconds, 10)
        here = lambda source, wanted=wanted: read_audio(source, RATE, wanted)  # noqa: E731
        there = lambda source, wanted=wanted: decoding.audio(source, RATE, wanted, 1)  # noqa: E731
        yield f"WAV, {seconds} s", sound(seconds), here, there


def median(call: Callable[[], Any], budget: float) -> float:
    """Milliseconds of a call."""
    times: list[float] = []
    call()
    while sum(times) < budget or len(times) < 5:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=1.0, help="seconds of each measurement")
    budget = parser.parse_args().budget
    start = time.perf_counter()
    decoding.image(image(28, "PNG"), BOX, 3)
    print(f"The process is started within {time.perf_counter() - start:.2f} s.\n")
    print("| file | size | in the asking process | in one of its own, by path | from bytes |\n|---|---|---|---|---|")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        for name, data, here, there in cases():
            path.write_bytes(data)
            times = [median(lambda: here(path), budget), median(lambda: there(path), budget)]  # noqa: B023
            times.append(median(lambda: there(data), budget))  # noqa: B023
            cells = " | ".join(f"{one:.2f} ms" for one in times)
            print(f"| {name} | {len(data) / 1000:,.0f} kB | {cells} |", flush=True)


if __name__ == "__main__":
    main()
