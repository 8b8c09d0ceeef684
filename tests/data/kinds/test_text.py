"""Text columns."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from data_helpers import fitted, table_of, write_table
from perceiver_pytorch.data import (
    DataError,
    SpecOptions,
    TextSpec,
    Where,
)

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
