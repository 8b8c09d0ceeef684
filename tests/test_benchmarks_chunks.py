"""What is measured of the chunks of an embedding."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))  # benchmarks/ stands beside tests/

pytest.importorskip("sklearn")
from benchmarks import chunks

from perceiver_pytorch.nn.stems.words import WordStem


def test_similarity_is_1_up_to_rotation_and_scale_and_small_for_strangers() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 6))
    rotation, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    assert chunks.cka(x, 3 * x @ rotation + 5) == pytest.approx(1)
    assert chunks.cka(x, rng.normal(size=(4000, 6))) < 0.01
    both = chunks.similarities(
        chunks.Vectors({str(i): row for i, row in enumerate(x)}, {}, {}, {}),
        {"chunk 1": slice(0, 2), "chunk 2": slice(2, 4)},
    )
    assert list(both) == ["chunk 1 and 2"]


def test_probes_find_what_is_there_and_nothing_where_nothing_is() -> None:
    rng = np.random.default_rng(1)
    names = [*sorted(chunks.FUNCTION_WORDS), *(f"word{i}" for i in range(300))]
    counts = {name: int(rng.integers(1, 500)) for name in names}
    known = {
        name: np.array([float(name in chunks.FUNCTION_WORDS), np.log(counts[name]), *rng.normal(size=2)])
        for name in names
    }
    labels = {split: rng.integers(3, size=400) for split in ("train", "test")}
    rows = {split: np.eye(4)[each] + 0.1 * rng.normal(size=(400, 4)) for split, each in labels.items()}
    rows = {split: np.concatenate([values[:, :2], rng.normal(size=(400, 2))], axis=1) for split, values in rows.items()}
    vectors = chunks.Vectors(known, counts, rows, labels)
    found, none = chunks.probes(vectors, slice(0, 2)), chunks.probes(vectors, slice(2, 4))
    assert min(found.values()) > 0.95
    assert none["label"] < 0.45
    assert 0.35 < none["word class"] < 0.65
    assert none["frequency"] < 0.1


def test_what_the_stem_gives_is_seen_and_changed() -> None:
    model = torch.nn.Sequential(WordStem(9, channels=4))
    ids = torch.tensor([[[1, 2], [3, 0]]])

    class Reader(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = model[0]

        def forward(self) -> torch.Tensor:
            return self.stem(ids, None, None)[0]

    reader = Reader()
    before = reader()
    with chunks.stem_output(reader, lambda made: made * torch.tensor([1.0, 0, 1, 0])) as outputs:
        changed = reader()
    assert torch.equal(outputs[0], before)
    assert torch.equal(changed[..., 1::2], torch.zeros(1, 2, 2))
    assert torch.equal(changed[..., ::2], before[..., ::2])
    assert torch.equal(reader(), before)


def test_tables_have_means_and_deviations() -> None:
    def one(score: float) -> dict:
        probe = dict.fromkeys(("label", "word class", "frequency"), score)
        state = {"probes": {"chunk 1": probe, "chunk 2": probe}, "all": probe, "cka": {"chunk 1 and 2": score}}
        zeroed = {"chunk 1": score - 0.1, "chunk 2": score - 0.2}
        return {"score": score, "trained": state, "fresh": state, "zeroed": zeroed, "all zeroed": 0.1}

    text = chunks.tables({level: [one(0.5), one(0.7)] for level in ("split", "whole")})
    assert "| split | chunk 1, trained | 0.600 ± 0.141 | 0.600 ± 0.141 | 0.600 ± 0.141 |" in text
    assert "| embedding | accuracy | without chunk 1 | without chunk 2 | without any |" in text
    assert "| whole | 0.600 ± 0.141 | 0.500 ± 0.141 | 0.400 ± 0.141 | 0.100 ± 0.000 |" in text
