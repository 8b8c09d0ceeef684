"""Text columns."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from data_helpers import SHARE, WHOLE, check_bounds, declared, fitted, table_of, write_table
from perceiver_pytorch.data import (
    DataError,
    SpecOptions,
    TextSpec,
    Where,
)
from perceiver_pytorch.data.column import Column
from perceiver_pytorch.data.kinds.text import TextKind, TextSettings
from perceiver_pytorch.data.kinds.words import WordAugmentation

WHERE = Where("here.csv", Path("/nowhere"), 17)


class TestText:
    def test_bytes_are_ids_from_1(self):
        encoded = TextSpec("x", 8).encode({"x": "aé"}, WHERE)
        assert encoded.values.tolist() == [98, 0xC3 + 1, 0xA9 + 1]

    def test_a_cut_keeps_whole_characters(self):
        encoded = TextSpec("x", 8).encode({"x": "1234567é"}, WHERE)
        assert encoded.changes == ("cut",)
        assert encoded.values.tolist() == [ord(c) + 1 for c in "1234567"]

    def test_a_full_text_has_no_mask_and_the_highest_byte_fits(self):
        encoded = TextSpec("x", 8).encode({"x": "12345678"}, WHERE)
        assert encoded.mask is None
        assert TextSpec("x", 8).vocab_size == 257

    def test_missing_and_other_values(self):
        assert TextSpec("x", 8).encode({"x": None}, WHERE) is None
        assert TextSpec("x", 8).encode({"x": ""}, WHERE) is None
        assert len(TextSpec("x", 8).encode({"x": 12.0}, WHERE).values) == 2

    def test_the_length_is_learned(self):
        assert TextSpec.fit("x", ["a" * 9, None], SpecOptions()).length == 16
        assert TextSpec.fit("x", ["é" * 900], SpecOptions()).length == 512
        assert TextSpec.fit("x", [None], SpecOptions()).length == 8

    def test_of_a_long_text_only_its_beginning_is_read(self):
        text = "é" * (1 << 22)
        tracemalloc.start()
        encoded = TextSpec("x", 8).encode({"x": text}, WHERE)
        learned = TextSpec.fit("x", [text], SpecOptions()).length
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert encoded.values.tolist() == [0xC3 + 1, 0xA9 + 1] * 4
        assert encoded.changes == ("cut",)
        assert learned == 512
        assert peak < 1 << 20


def tokenizer_file(path):
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(["the cat sat", "on the mat"], trainers.WordLevelTrainer(special_tokens=["[UNK]"]))
    tokenizer.enable_padding(length=50)
    tokenizer.enable_truncation(2)
    tokenizer.save(str(path))
    return tokenizer


def test_text_may_be_read_by_a_tokenizer(tmp_path):
    theirs = tokenizer_file(tmp_path / "tokenizer.json")
    theirs.no_padding()
    theirs.no_truncation()
    texts = ["the cat sat", "on the mat " * 9, "a dog"] * 7
    table = table_of(tmp_path, words=texts, y=["a", "b", "c"] * 7)
    options = SpecOptions(tokenizer="tokenizer.json", max_text_tokens=16)
    spec, _ = fitted(table, "y", kinds={"words": "text"}, options=options)
    (tmp_path / "tokenizer.json").unlink()  # what is needed is in the spec
    (text,) = type(spec).from_dict(spec.to_dict()).modalities
    assert (text.length, text.vocab_size) == (16, theirs.get_vocab_size())
    where = Where("here.csv", tmp_path, 0)
    for value in texts[:3]:
        encoded = text.encode({"words": value}, where)
        assert encoded.values.tolist() == theirs.encode(value).ids[:16]
        cut, unknown = len(theirs.encode(value).ids) > 16, value == "a dog"
        assert encoded.changes == ("cut",) * cut + ("unknown",) * unknown


@pytest.mark.parametrize(("content", "message"), [("{}", "cannot be read as a tokenizer.json"), (None, "no such file")])
def test_a_wrong_tokenizer_is_named(tmp_path, content, message):
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    table = write_table(tmp_path, "words,y\n" + "".join(f"text {i} of a row,{'ab'[i % 2]}\n" for i in range(20)))
    with pytest.raises(DataError, match=rf"column 'words': .*{message}"):
        fitted(table, "y", kinds={"words": "text"}, options=SpecOptions(tokenizer="tokenizer.json"))


def test_a_text_takes_no_more_memory_for_its_tokens_than_a_cell_may(tmp_path):
    tokenizer_file(tmp_path / "tokenizer.json")
    spec = TextSpec("x", 8, (tmp_path / "tokenizer.json").read_text())
    text = "the cat " * 2000
    assert spec.encode({"x": text}, WHERE) is not None
    with pytest.raises(DataError, match=r"row 17.*: the text takes 2 MB .*\(16,000 characters\).*--cell-mb 2 "):
        spec.encode({"x": text}, replace(WHERE, cell_bytes=1 << 20))


@pytest.mark.parametrize(
    ("text", "ids", "changes"),
    [
        ("1234567", 7, ()),
        ("12345678", 8, ()),
        ("123456789", 8, ("cut",)),
        ("ééééé", 8, ("cut",)),
        ("1éééé", 7, ("cut",)),
        ("1234567" + "é", 7, ("cut",)),
        ("€€€", 6, ("cut",)),
        ("\ud800", 1, ()),  # no character: a question mark
    ],
)
def test_texts_at_the_end_of_what_is_read(text, ids, changes):
    encoded = TextSpec("x", 8).encode({"x": text}, WHERE)
    assert (len(encoded.values), encoded.changes, encoded.values.dtype) == (ids, changes, "int16")
    assert encoded.values.tolist() == [byte + 1 for byte in text.encode("utf-8", "replace")[:ids]]


def test_a_character_that_does_not_fit_leaves_nothing():
    assert TextSpec("x", 1).encode({"x": "é"}, WHERE) is None
    assert TextSpec("x", 1).encode({"x": "é" * 9}, WHERE) is None


def test_lengths_are_multiples_of_8_up_to_the_limit():
    for length, expected in ((1, 8), (8, 8), (9, 16), (17, 24), (511, 512), (512, 512), (513, 512)):
        assert TextSpec.fit("x", ["a" * length], SpecOptions()).length == expected
    assert TextSpec.fit("x", ["a" * 99], SpecOptions(max_text_bytes=20)).length == 24
    assert TextSpec.fit("x", [True, 1.0], SpecOptions()).length == 8
    spec = TextSpec("x", 24)
    assert (spec.axes, spec.channels, spec.note(), spec.vocab_size) == ((24,), 1, "UTF-8 bytes, at most 24", 257)
    assert (TextSettings().max_text_bytes, TextSettings().max_text_tokens, TextSettings().tokenizer) == (512, 256, None)
    with pytest.raises(ValueError, match="length must be"):
        TextSpec("x", 0)


def test_texts_of_a_tokenizer_at_their_bounds(tmp_path):
    theirs = tokenizer_file(tmp_path / "tokenizer.json")
    json = (tmp_path / "tokenizer.json").read_text()
    spec = TextSpec("x", 2, json)
    assert spec.note() == f"tokens of {theirs.get_vocab_size()} kinds, at most 2"
    full = spec.encode({"x": "the cat"}, WHERE)
    assert (len(full.values), full.changes, full.values.dtype) == (2, (), "int32")
    assert spec.encode({"x": "the cat sat"}, WHERE).changes == ("cut",)
    assert spec.encode({"x": "dogs"}, WHERE).changes == ("unknown",)
    assert spec.encode({"x": "the cat dogs"}, WHERE).changes == ("cut", "unknown")
    assert spec.encode({"x": "  "}, WHERE) is None
    assert TextSpec.fit("x", ["the " * 300, None], SpecOptions(), json).length == 256
    assert TextSpec.fit("x", ["the " * 9], SpecOptions(max_text_tokens=99), json).length == 16
    lengths = [TextSpec.fit("x", ["the " * 9], SpecOptions(), json, 3600 - less).length for less in (0, 1)]
    assert lengths == [16, 8]  # what takes more memory is left out
    assert spec.encode({"x": "the cat"}, replace(WHERE, cell_bytes=700)) is not None
    with pytest.raises(DataError, match="the text takes"):
        spec.encode({"x": "the cat"}, replace(WHERE, cell_bytes=699))


def test_a_tokenizer_without_an_unknown_token_knows_every_text():
    from tokenizers import Tokenizer, models

    json = Tokenizer(models.WordLevel({"the": 0, "cat": 5}, unk_token="?")).to_str()
    spec = TextSpec("x", 8, json)
    assert (spec.vocab_size, spec.encode({"x": "the"}, WHERE).changes) == (6, ())
    assert spec.encode({"x": "the"}, WHERE).values.tolist() == [0]


def test_texts_are_words_that_are_no_categories(tmp_path):
    many = Column(table_of(tmp_path, x=[f"text {i} of a row" for i in range(20)]), "x")
    few = Column(table_of(tmp_path, x=["a", "b"] * 10), "x")
    numbers = Column(table_of(tmp_path, x=[1, 2] * 10), "x")
    assert [TextKind().recognises(column) for column in (many, few, numbers)] == [True, False, False]


def test_what_the_kind_declares():
    assert declared(TextKind()) == ("text", (TextSpec, "text", "int64"), TextSettings, WordAugmentation, False, True)
    check_bounds(TextSettings, max_text_bytes=WHOLE, max_text_tokens=WHOLE)
    check_bounds(WordAugmentation, word_dropout=SHARE)
