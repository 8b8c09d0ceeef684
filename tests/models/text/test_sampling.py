"""The next token: temperature, top-k and top-p against what transformers keeps, and against counted samples."""

import math

import pytest
import torch

from perceiver_pytorch.models.text.sampling import check_sampling, keep_top_k, keep_top_p, sample

LOGITS = torch.log(torch.tensor([[0.5, 0.25, 0.15, 0.1], [0.1, 0.2, 0.3, 0.4]]))


def shares(**settings):
    """How often each token is drawn for the first row."""
    generator = torch.Generator().manual_seed(0)
    drawn = sample(LOGITS[:1].expand(20_000, -1), generator=generator, **settings)
    return drawn.bincount(minlength=4) / len(drawn)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [0.5, 0.25, 0.15, 0.1]),
        ({"top_k": 2}, [2 / 3, 1 / 3, 0, 0]),
        ({"top_p": 0.7}, [2 / 3, 1 / 3, 0, 0]),
        ({"top_p": 0.8}, [5 / 9, 2.5 / 9, 1.5 / 9, 0]),
        ({"top_p": 1e-9}, [1, 0, 0, 0]),
        ({"temperature": 0.5}, [p * p / 0.345 for p in (0.5, 0.25, 0.15, 0.1)]),
        ({"temperature": 0.5, "top_p": 0.7}, [1, 0, 0, 0]),
        ({"top_k": 3, "top_p": 0.6}, [2 / 3, 1 / 3, 0, 0]),
        ({"temperature": 0}, [1, 0, 0, 0]),
        ({"temperature": 1e-300}, [1, 0, 0, 0]),
        ({"top_k": 99}, [0.5, 0.25, 0.15, 0.1]),
    ],
)
def test_tokens_are_drawn_with_the_probabilities_asked_for(settings, expected):
    torch.testing.assert_close(shares(**settings), torch.tensor(expected, dtype=torch.float32), rtol=0, atol=0.015)


def test_what_is_kept_is_what_transformers_keeps():
    transformers = pytest.importorskip("transformers")
    logits = 3 * torch.randn(50, 40)
    for k in (1, 5, 39):
        theirs = transformers.TopKLogitsWarper(k)(None, logits)
        assert torch.equal(keep_top_k(logits, k), theirs)
    for p in (0.05, 0.5, 0.9, 0.999):
        theirs = transformers.TopPLogitsWarper(p)(None, logits)
        assert torch.equal(keep_top_p(logits, p), theirs)


def test_equal_logits_keep_k_of_them_only():
    assert keep_top_k(torch.zeros(1, 5), 2).isfinite().sum() == 2


def test_rows_are_drawn_independently_and_a_seed_repeats_them():
    draws = [sample(LOGITS, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2, 3, 4)]
    assert torch.equal(draws[0], draws[1])
    assert len({tuple(draw.tolist()) for draw in draws}) > 1
    assert draws[0].dtype == torch.int64


def test_half_precision_and_very_unequal_logits_are_fine():
    logits = torch.tensor([[-1e4, 6e4, -math.inf]], dtype=torch.float16)
    assert sample(logits, temperature=0.01, top_p=0.9).item() == 1


@pytest.mark.parametrize("settings", [(-0.1, None, None), (1.0, 0, None), (1.0, None, 0.0), (1.0, None, 1.1)])
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(ValueError, match="must"):
        check_sampling(*settings)
