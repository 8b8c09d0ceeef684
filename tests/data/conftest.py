"""A small table of pictures and sounds."""

import numpy as np
import pytest

from data_helpers import png, wav, write_table
from perceiver_pytorch.data import Table


@pytest.fixture
def av_table(tmp_path) -> Table:
    """60 rows of image path, audio path, word (the answer in another form), label, split and speaker."""
    rng = np.random.default_rng(0)
    lines = ["id,image,audio,text,label,split,speaker"]
    words = ["zero", "one", "two", "three", "four"]
    for folder in ("images", "audio"):
        (tmp_path / folder).mkdir()
    for i in range(60):
        label = i % 5
        (tmp_path / f"images/{i}.png").write_bytes(png(rng.integers(0, 255, (9, 7), dtype=np.uint8)))
        samples = rng.normal(0.1, 0.2, 100 + 5 * (i % 20)).clip(-1, 1)
        (tmp_path / f"audio/{i}.wav").write_bytes(wav(samples))
        split = "train" if i < 40 else "val" if i < 50 else "test"
        lines.append(f"{i},images/{i}.png,audio/{i}.wav,{words[label]},{label},{split},{'ann' if i % 3 else 'bob'}")
    return write_table(tmp_path, "\n".join(lines) + "\n", "manifest.csv")
