"""Bytes as tokens, with the ids of transformers' Perceiver tokenizer."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perceiver_pytorch.models.text.byte_tokenizer import BOS, CLS, EOS, MASK, PAD, SEP, SPECIAL_TOKENS, ByteTokenizer

TOKENIZER = ByteTokenizer()


@given(st.text())
def test_text_comes_back(text):
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


@given(st.binary())
def test_bytes_come_back(data):
    assert TOKENIZER.decode_bytes(TOKENIZER.encode(data)) == data


@pytest.mark.parametrize("text", ["An incomplete [MASK] here", "höher, 漢字 🎈", "", "[PAD][BOS][EOS][MASK][CLS][SEP]"])
def test_ids_are_those_of_transformers(text):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.PerceiverTokenizer()
    assert TOKENIZER.vocab_size == len(theirs)
    assert TOKENIZER.encode(text, specials=True, frame=True) == theirs(text).input_ids
    named = [TOKENIZER.encode(token, specials=True) for token in SPECIAL_TOKENS]
    assert named == [[PAD], [BOS], [EOS], [MASK], [CLS], [SEP]]
    assert theirs.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == [PAD, BOS, EOS, MASK, CLS, SEP]


def test_names_of_special_tokens_are_text_unless_asked():
    assert len(TOKENIZER.encode("[MASK]")) == 6
    assert TOKENIZER.encode("a[MASK]b", specials=True) == [6 + 97, MASK, 6 + 98]


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_batch_is_padded_on_the_chosen_side(side):
    ids, mask = TOKENIZER.batch(["abc", "d"], side=side)
    assert ids.dtype == torch.int64
    assert mask.tolist() == [[True] * 3, [False, False, True] if side == "left" else [True, False, False]]
    assert ids[1][~mask[1]].tolist() == [PAD, PAD]
    assert TOKENIZER.decode(ids[1]) == "d"
    shorter, _ = TOKENIZER.batch(["abc", "d"], side=side, length=2)
    assert TOKENIZER.decode(shorter[0]) == "ab"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TOKENIZER.encode(3), "text must be str or bytes, got int"),
        (lambda: TOKENIZER.decode([262]), r"token ids must lie in \[0, 262\), got 262"),
        (lambda: TOKENIZER.batch([]), "at least one text"),
        (lambda: TOKENIZER.batch("abc"), "a list of at least one text"),
        (lambda: TOKENIZER.batch(["a"], side="middle"), "side must be one of"),
    ],
)
def test_wrong_calls_say_what_is_wrong(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()
