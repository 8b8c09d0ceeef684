"""Small valid files of every format, ways to damage them, and a child process in which damaged ones are read.

The child has a limit on memory and one on the seconds for each file. What it is about to read lies in a file, so that
after a crash or a hang the input is known.
"""

import gzip
import io
import multiprocessing
import random
import signal
import sys
import tarfile
import warnings
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np

from data_helpers import png

FORK = multiprocessing.get_context("fork")
MEMORY = 3 << 30  # bytes of address space beyond what the parent has: libraries map files and reserve stacks
SECONDS = 20  # for one file, on a busy machine


def images():
    from PIL import Image

    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 255, (13, 9, 3), dtype=np.uint8))
    for form in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"):
        buffer = io.BytesIO()
        picture.save(buffer, form)
        yield form, buffer.getvalue()
    yield "PNG of 16 bits", png(rng.integers(0, 65535, (5, 5)).astype(np.uint16))


def sounds():
    import soundfile

    samples = np.random.default_rng(0).normal(0, 0.1, 900)
    for form in ("WAV", "FLAC", "OGG", "MP3", "AIFF"):
        buffer = io.BytesIO()
        soundfile.write(buffer, samples, 8000, format=form)
        yield form, buffer.getvalue()
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((2, 1, 11025, 0, "NONE", ""))
        file.writeframes(bytes(400))
    yield "WAV of 8 bits", buffer.getvalue()


def videos(formats=("mp4", "matroska", "avi")):
    import av

    for form in formats:
        buffer = io.BytesIO()
        with av.open(buffer, "w", format=form) as container:
            stream = container.add_stream("mpeg4", rate=Fraction(5))
            stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
            for i in range(6):
                frame = av.VideoFrame.from_ndarray(np.full((24, 32, 3), 40 * i, np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        yield form, buffer.getvalue()


def arrays(shape=(12, 3)):
    values = np.random.default_rng(0).normal(size=shape)
    for name, array in (
        ("float64", values),
        ("float32", values.astype(np.float32)),
        ("int16", values.astype(np.int16)),
    ):
        buffer = io.BytesIO()
        np.save(buffer, array)
        yield f"npy {name}", buffer.getvalue()


FILES = {"image": images, "audio": sounds, "video": videos, "series": arrays, "points": arrays}


def tables():
    """Table files by their suffix."""
    import pyarrow
    import pyarrow.parquet

    yield ".csv", b'a,b,label\n1,"x, y",u\n2.5,,v\n,z,u\n'
    yield ".tsv", b"a\tb\tlabel\n1\tx\tu\n2\ty\tv\n"
    yield ".jsonl", b'{"a": 1, "b": "x", "c": [1, 2]}\n{"a": null, "b": "y"}\n'
    yield ".json", b'[{"a": 1, "b": "x", "c": [1, 2]},\n{"a": null, "b": "y"}]\n'
    yield ".csv.gz", gzip.compress(b"a;b;label\n1,5;x;u\n2;;v\n;z;u\n", mtime=0)
    buffer = io.BytesIO()
    columns = {"a": [1.0, 2.0, None], "b": ["x", "y", "z"], "c": [b"1", b"2", b"3"], "d": [[1], [2, 3], []]}
    pyarrow.parquet.write_table(pyarrow.table(columns), buffer)
    yield ".parquet", buffer.getvalue()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in (("1.txt", b"text"), ("1.json", b'{"x": 1}'), ("2.txt", b"more"), ("2.png", b"p")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    yield ".tar", buffer.getvalue()


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Bits flipped, bytes overwritten, cut off, cut out, put in, said twice; headers more often than the rest."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 12))):
        size = len(out)
        if not size:
            break
        at = chance.randrange(min(size, 64)) if chance.random() < 0.5 else chance.randrange(size)
        length = chance.choice((1, 2, 4, 8, 64))
        way = chance.randrange(7)
        if way == 0:
            out[at] ^= 1 << chance.randrange(8)
        elif way == 1:
            out[at : at + length] = bytes([chance.choice((0, 1, 127, 128, 255))]) * min(length, size - at)
        elif way == 2:
            del out[at:]
        elif way == 3:
            del out[at : at + length]
        elif way == 4:
            out[at:at] = chance.randbytes(length)
        elif way == 5:
            out[at:at] = out[at : at + 10 * length]
        else:
            out[at : at + length] = chance.randbytes(min(length, size - at))
    return bytes(out)


def read_in_child(read, seeds, folder: Path, count: int, seed: int = 0) -> str | None:
    """Has a child call `read` on `count` damaged files; None, or what went wrong, with the file that did it.

    Args:
        read: gets bytes; may raise `DataError`, and nothing else.
        seeds: (name, valid bytes) pairs.
    """
    last, queue = folder / "last", FORK.Queue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about forking where there are threads
        process = FORK.Process(target=_child, args=(read, list(seeds), last, count, seed, queue))
        process.start()
    process.join(count * SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
    if process.exitcode == 0:
        return queue.get(timeout=10)
    reason = "took too long" if process.exitcode == -signal.SIGALRM else f"ended with {process.exitcode}"
    return f"the reader {reason} at {last.read_bytes()!r}"


def _child(read, seeds, last: Path, count: int, seed: int, queue) -> None:
    import resource

    from perceiver_pytorch.data import DataError

    warnings.simplefilter("ignore")
    for _, data in seeds:  # libraries are loaded, and the files are good
        read(data)
    if sys.platform == "linux":
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    chance = random.Random(seed)
    for i in range(count):
        name, whole = seeds[i % len(seeds)]
        data = damaged(whole, chance)
        last.write_bytes(data)
        signal.alarm(SECONDS)
        try:
            read(data)
        except DataError:
            pass
        except BaseException as error:
            queue.put(f"{name}: {type(error).__name__}: {error} at {data!r}")
            return
        signal.alarm(0)
    queue.put(None)
