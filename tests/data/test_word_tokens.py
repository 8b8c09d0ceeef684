"""Texts as words, and words as hashed parts."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceiver_pytorch.data.word_tokens import LONGEST_WORD, hashed, repeated_words, word_of, words_of


def split(text):
    return [word.folded for word in words_of(text)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't you LIKE it?", ["don't", "you", "like", "it", "?"]),
        ("wow!!! it's 3.5% of £12,500", ["wow", "!!!", "it's", "3.5", "%", "of", "£", "12,500"]),
        ("4-Piece set, 2nd_hand", ["4", "-", "piece", "set", ",", "2", "nd", "_", "hand"]),
        ("Straße ÜBER Ёлка", ["strasse", "über", "ёлка"]),
        ("cafe\u0301 हिन्दी", ["cafe\u0301", "हिन्दी"]),
        ("我喜欢。テスト ไทย", ["我", "喜", "欢", "。", "テ", "ス", "ト", "ไ", "ท", "ย"]),
        (" \n\t ", []),
        ("\ud800", ["\ud800"]),
    ],
)
def test_texts_are_words_numbers_and_marks(text, words):
    assert split(text) == words


def test_long_runs_are_several_words():
    assert split("a" * 100) == ["a" * 40, "a" * 40, "a" * 20]
    assert LONGEST_WORD == 40
    assert split("!" * 9) == ["!" * 8, "!"]


@given(st.text(max_size=40))
def test_nothing_but_space_is_left_out(text):
    assert "".join(word.raw for word in words_of(text)) == "".join(text.split())


def test_parts_are_of_the_spelling_and_the_n_grams():
    parts = word_of("Cat").parts.tolist()
    assert parts == [*map(hashed, ["\nCapital", "<ca", "cat", "at>", "<cat", "cat>", "<cat>"])]
    assert word_of("cat").parts[1:].tolist() == parts[1:]


@pytest.mark.parametrize(
    ("raw", "spelling"),
    [("cat", "lower"), ("CAT", "UPPER"), ("A", "Capital"), ("Cat", "Capital"), ("iPad", "mixed"), ("12.5", "00.0")],
)
def test_the_first_part_tells_how_a_word_is_written(raw, spelling):
    assert word_of(raw).parts[0] == hashed(f"\n{spelling}")


def test_hashes_are_those_of_every_process():
    assert hashed("naïve") == 0xD50F8166
    code = "from perceiver_pytorch.data.word_tokens import word_of; print(word_of('naïve').code)"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONUTF8": "1"},
        capture_output=True,
        check=True,
    )
    assert int(found.stdout) == hashed("naïve")


def test_words_of_two_texts_are_known_and_the_most_frequent_first():
    texts = ["the cat sat the", "The dog", "a cat ran ran the"]
    assert repeated_words(map(words_of, texts), 9) == ["the", "cat"]
    assert repeated_words(map(words_of, texts), 1) == ["the"]
    assert repeated_words(map(words_of, ["b a", "a b"]), 9) == ["a", "b"]
