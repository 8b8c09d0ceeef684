"""All tokens of several contexts as one array, and one mask."""

import torch

from perceiver_pytorch.nn.tokens import Tokens, dense, joined_mask
from perceiver_pytorch.ops import Context

MASK = torch.tensor([[[True, False], [True, True]], [[False, False], [True, False]]])


def contexts(*masks: torch.Tensor | None) -> list[Context]:
    torch.manual_seed(0)
    return [
        Context(torch.randn(2, 2, 2, 3), mask=masks[0]),
        Context(torch.randn(2, 5, 2, dtype=torch.float16), padding=1, mask=masks[1]),
    ]


def test_tokens_stand_one_context_after_the_other_masked_ones_as_zeros() -> None:
    image, series = contexts(MASK, None)
    image.data[~MASK] = float("nan")
    array = dense([image, series], torch.float64)
    assert array.shape == (2, 9, 3)
    assert array.dtype == torch.float64
    assert torch.equal(array[:, :4], image.data.flatten(1, 2).double().nan_to_num(0.0))
    assert torch.equal(array[:, 4:, :2], series.data.double())
    assert (array[:, 4:, 2] == 0).all()


def test_masks_are_joined_where_there_is_one() -> None:
    assert joined_mask(contexts(None, None)) is None
    joined = joined_mask(contexts(MASK, None))
    assert joined.dtype == torch.bool
    assert torch.equal(joined, torch.cat([MASK.flatten(1), torch.ones(2, 5, dtype=torch.bool)], 1))
    series = torch.rand(2, 5) > 0.5
    assert torch.equal(joined_mask(contexts(MASK, series)), torch.cat([MASK.flatten(1), series], 1))
    assert torch.equal(joined_mask(contexts(None, series))[:, 4:], series)


def test_an_attention_reads_contexts_and_their_norm() -> None:
    given, norm = contexts(None, None), torch.nn.LayerNorm(3)
    tokens = Tokens(given, norm)
    assert (tokens.contexts, tokens.norm) == (given, norm)
