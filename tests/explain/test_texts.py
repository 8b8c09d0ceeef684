"""Which bytes models of texts looked at: by number, letters together, nothing that comes later."""

import numpy as np
import pytest
import torch

import perceiver_pytorch as P
from perceiver_pytorch.explain.apart import Apart
from perceiver_pytorch.explain.attention import each_latent, recorded
from perceiver_pytorch.explain.texts import explain_gaps, explain_next, letters, name_of
from perceiver_pytorch.models.text.byte_tokenizer import ByteTokenizer


@pytest.fixture
def causal():
    torch.manual_seed(0)
    sizes = {"latent_dim": 8, "depth": 1, "heads": 2, "dim_head": 4, "cross_heads": 2, "cross_dim_head": 4}
    return P.PerceiverAR(max_length=12, num_latents=4, **sizes).eval()


@pytest.fixture
def masked():
    torch.manual_seed(0)
    sizes = {"latent_dim": 8, "embedding_dim": 8, "heads": 2, "cross_heads": 2, "decoder_heads": 2}
    return P.PerceiverLM(max_length=16, num_latents=4, depth=1, qk_dim=8, v_dim=8, **sizes).eval()


def test_a_byte_is_explained_by_those_before_it(causal):
    (found,) = explain_next(causal, "abcdefgh", [5], Apart(heads=[1]))
    ids = torch.tensor([ByteTokenizer().encode("abcde")])
    with recorded(causal) as record:
        logits = causal(ids)[0, -1]
    (expected,) = record.rollout(each_latent(record, [-1]))
    np.testing.assert_allclose(found.maps["attention"].grids["text"], expected[0, 0].numpy(), rtol=1e-5)
    (head,) = record.reads[0].of(heads=[1])
    np.testing.assert_allclose(
        found.maps["attention.layer-0.head-1"].grids["text"], head[0, 0].mean(0).numpy(), rtol=1e-5
    )
    best = int(logits[6:].argmax())
    share = logits[6:].softmax(0)[best]
    assert found.evidence[0] == pytest.approx(float((share / (1 - share)).log()), rel=1e-4)
    assert (found.row, found.noun, found.truth, found.prediction) == (5, "byte", "'f'", name_of(6 + best))


def test_the_next_byte_is_the_usual_question_and_a_window_is_what_is_read(causal):
    (found,) = explain_next(causal, "abcdefghijklmnop")
    assert (found.row, found.truth) == (16, None)
    assert found.maps["attention"].grids["text"].shape == (12,)
    assert ">p<" in found.drawings["attention"]["text"][0]["value"]
    assert ">a<" not in found.drawings["attention"]["text"][0]["value"]


def test_a_gap_is_explained_by_the_whole_text(masked):
    (found,) = explain_gaps(masked, masked, "ab[MASK]d", most=16)
    assert (found.row, found.truth) == (2, None)
    assert found.maps["attention"].grids["text"].shape == (4,)
    assert "[MASK]" in found.drawings["attention"]["text"][0]["value"]
    (named,) = explain_gaps(masked, masked, "abcd", [2], most=16)
    assert named.truth == "'c'"
    assert named.prediction == found.prediction
    np.testing.assert_array_equal(named.maps["attention"].grids["text"], found.maps["attention"].grids["text"])


def test_bytes_that_there_are_not_are_told(causal, masked):
    with pytest.raises(ValueError, match="numbers from 1 to 3 for this text, got 0"):
        explain_next(causal, "abc", [0])
    with pytest.raises(ValueError, match="empty"):
        explain_next(causal, "")
    with pytest.raises(ValueError, match=r"no \[MASK\]"):
        explain_gaps(masked, masked, "abc", most=16)
    with pytest.raises(ValueError, match="20 tokens, and the model reads at most 16"):
        explain_gaps(masked, masked, "a" * 20, [1], most=16)


def test_bytes_of_a_letter_are_drawn_together():
    pieces, places = letters(ByteTokenizer().encode("aß€\n[CLS]", specials=True))
    assert pieces == ["a", "ß", "€", "⏎", "[CLS]"]
    assert places.tolist() == [0, 1, 1, 2, 2, 2, 3, 4]
    assert len(letters(ByteTokenizer().encode(b"\x80\x80"))[0]) == 2
    assert name_of(6 + 0xC3) == "byte 0xc3"
