"""Bits per byte that simple methods need for a held-out text: what a model has to beat.

They see the last 8 MB of the train part at most, so they take seconds and little memory for any file.
"""

import gzip
import lzma

import numpy as np

from perceiver_pytorch.training.language.text_file import Bytes

KNOWN = 8 << 20


def unigram(train: Bytes, text: Bytes) -> float:
    """Each byte by how often it occurs in the train part (plus one)."""
    train = train[-KNOWN:]
    counts = np.bincount(train, minlength=256) + 1.0
    return float(-np.log2(counts / counts.sum())[text].mean())


def compressors(text: Bytes, train: Bytes | None = None) -> dict[str, float]:
    """gzip and lzma (xz) of the text by itself; ``lzma after train``: what the text adds to the compressed train part.

    Only the last can be compared fairly with a trained model.
    """
    data = text.tobytes()
    sizes = {"gzip": len(gzip.compress(data, 9, mtime=0)), "lzma": len(lzma.compress(data, preset=9))}
    if train is not None:
        known = train[-KNOWN:].tobytes()
        sizes["lzma after train"] = len(lzma.compress(known + data, preset=9)) - len(lzma.compress(known, preset=9))
    return {name: 8 * size / len(data) for name, size in sizes.items()}


def neighbours(train: Bytes, text: Bytes) -> float:
    """Each byte by what stood between the same two neighbours in the train part; for masked models.

    Neighbours that were not seen together fall back on the byte before, and then on how often each byte occurs: the
    estimate of the narrower context counts as one more observation, as in a Dirichlet prior.
    """
    train = train[-KNOWN:]
    alone = (np.bincount(train, minlength=256) + 1.0) / (len(train) + 256)
    pairs = np.bincount(train[:-1].astype(np.int64) * 256 + train[1:], minlength=65_536).reshape(256, 256)
    after = (pairs + alone) / (pairs.sum(1, keepdims=True) + 1)
    before, byte, next_ = (text[i : len(text) - 2 + i].astype(np.int64) for i in range(3))
    between, around = _counts(train, before, byte, next_)
    share = (between + after[before, byte]) / (around + 1)
    ends = -np.log2(alone[text[[0, -1]]]).sum()
    return float((ends - np.log2(share).sum()) / len(text))


def _counts(train: Bytes, before: np.ndarray, byte: np.ndarray, next_: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How often the train part has each byte between its neighbours, and how often the neighbours with any byte."""
    first, middle, last = (train[i : len(train) - 2 + i].astype(np.int64) for i in range(3))
    around = np.bincount(first * 256 + last, minlength=65_536)
    codes, counts = np.unique((first * 256 + last) * 256 + middle, return_counts=True)
    wanted = (before * 256 + next_) * 256 + byte
    place = np.searchsorted(codes, wanted).clip(max=len(codes) - 1)
    return np.where(codes[place] == wanted, counts[place], 0), around[before * 256 + next_]
