"""Baselines against counting by hand, and the compressors' own sizes."""

import gzip
import itertools
import lzma
import math
from collections import Counter

import numpy as np
import pytest

from perceiver_pytorch.training.language import baselines
from perceiver_pytorch.training.language.baselines import compressors, neighbours, unigram


def of(text):
    return np.frombuffer(text, np.uint8)


TRAIN = b"the cat sat on the mat, the rat ate the cat. " * 5
TEXT = b"the rat sat on the cat; that is that."


def test_unigram_counts_bytes():
    counts = Counter(TRAIN)
    expected = -sum(math.log2((counts[byte] + 1) / (len(TRAIN) + 256)) for byte in TEXT) / len(TEXT)
    assert unigram(of(TRAIN), of(TEXT)) == pytest.approx(expected)


def test_neighbours_count_what_stood_between_the_same_bytes():
    alone, pairs, triples, around = Counter(TRAIN), Counter(), Counter(), Counter()
    for first, second in itertools.pairwise(TRAIN):
        pairs[first, second] += 1
    for first, second, third in zip(TRAIN, TRAIN[1:], TRAIN[2:], strict=False):
        triples[first, second, third] += 1
        around[first, third] += 1

    def p_alone(byte):
        return (alone[byte] + 1) / (len(TRAIN) + 256)

    def p_after(first, byte):
        return (pairs[first, byte] + p_alone(byte)) / (sum(n for (f, _), n in pairs.items() if f == first) + 1)

    bits = -math.log2(p_alone(TEXT[0])) - math.log2(p_alone(TEXT[-1]))
    for first, byte, last in zip(TEXT, TEXT[1:], TEXT[2:], strict=False):
        share = (triples[first, byte, last] + p_after(first, byte)) / (around[first, last] + 1)
        bits -= math.log2(share)
    assert neighbours(of(TRAIN), of(TEXT)) == pytest.approx(bits / len(TEXT))


def test_compressors_are_measured_by_their_files():
    sizes = compressors(of(TEXT), of(TRAIN))
    assert sizes["gzip"] == pytest.approx(8 * len(gzip.compress(TEXT, 9, mtime=0)) / len(TEXT))
    assert sizes["lzma"] == pytest.approx(8 * len(lzma.compress(TEXT, preset=9)) / len(TEXT))
    assert sizes["lzma after train"] < sizes["lzma"]
    assert set(compressors(of(TEXT))) == {"gzip", "lzma"}
    after = len(lzma.compress(TRAIN + TEXT, preset=9)) - len(lzma.compress(TRAIN, preset=9))
    assert compressors(of(TEXT), of(TRAIN))["lzma after train"] == 8 * after / len(TEXT)


def test_of_a_long_text_the_end_is_read(monkeypatch):
    assert baselines.KNOWN == 8 * 1024 * 1024
    seen = of(bytes(range(256)))  # every byte there is
    assert unigram(seen, seen) == pytest.approx(8.0)
    before = "what came long before: ÄÖÜ".encode() * 3
    expected = [unigram(of(TRAIN), of(TEXT)), neighbours(of(TRAIN), of(TEXT)), compressors(of(TEXT), of(TRAIN))]
    monkeypatch.setattr(baselines, "KNOWN", len(TRAIN))
    long = of(before + TRAIN)
    assert [unigram(long, of(TEXT)), neighbours(long, of(TEXT)), compressors(of(TEXT), long)] == expected
