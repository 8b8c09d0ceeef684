"""Small files and tables for the data tests. (Not in conftest.py: tests elsewhere have modules of that name.)"""

import io
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from perceiver_pytorch.data import InputSpec, Table, load_table, recognise_columns, split_rows


def png(pixels, mode=None, **save):
    from PIL import Image

    buffer = io.BytesIO()
    image = Image.fromarray(np.asarray(pixels))
    (image.convert(mode) if mode else image).save(buffer, format="PNG", **save)
    return buffer.getvalue()


def wav(samples, rate=8000, channels=1):
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.round(np.asarray(samples) * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def write_table(folder: Path, text: str, name: str = "table.csv") -> Table:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return load_table(path)


def table_of(folder: Path, **columns) -> Table:
    import pyarrow

    return Table("made here", folder, pyarrow.table(columns))


def fitted(table: Table, target: str, *, kinds=None, **options):
    """(spec, splits) of a table, everything recognised but what ``kinds`` says."""
    kinds = recognise_columns(table, target=target, split=None, overrides=kinds)
    splits = split_rows(table, target=target, split=None, val_fraction=0.25, seed=0)
    return InputSpec.fit(table, kinds, target=target, rows=splits.train, **options), splits


def video(frames, rate=10, *, times=None, sound=None, sound_rate=8000, kind="mp4", codec="mpeg4"):
    """The bytes of a video: frames uint8 (frames, height, width, 3), at ``times`` seconds if they are not regular."""
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        stream.options = {"qscale": "1", "flags": "qscale"}
        stream.codec_context.time_base = Fraction(1, 1000)
        track = None
        if sound is not None:
            track = container.add_stream("aac", rate=sound_rate, layout="mono")
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = round(1000 * (i / rate if times is None else times[i])), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if track is not None:
            samples = np.asarray(sound, np.float32)
            for start in range(0, len(samples), 1024):
                part = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], format="fltp", layout="mono")
                part.sample_rate, part.pts, part.time_base = sound_rate, start, Fraction(1, sound_rate)
                container.mux(track.encode(part))
            container.mux(track.encode())
    return buffer.getvalue()


def shades(count, height=32, width=48):
    """Frames of one grey each, brighter from frame to frame."""
    return [np.full((height, width, 3), 10 + 200 * i // max(1, count - 1), np.uint8) for i in range(count)]


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


WHOLE, POSITIVE, SHARE = ((1,), (0, -1)), ((1e-3,), (0.0,)), ((0.0, 1.0), (-0.1, 1.1))


def check_bounds(settings, **knobs):
    """Each knob takes the values inside its bounds and refuses those outside: ``knob=(inside, outside)``."""
    for name, (inside, outside) in knobs.items():
        for value in inside:
            assert getattr(settings(**{name: value}), name) == value
        for value in outside:
            with pytest.raises(ValueError, match=name):
                settings(**{name: value})


def declared(kind):
    """What a kind says of itself, and its spec's kind and dtype."""
    spec = kind.spec and (kind.spec, kind.spec.kind, kind.spec.dtype)
    return kind.name, spec, kind.settings, kind.augmentation, kind.together, kind.plain
