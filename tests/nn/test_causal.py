"""Causal masks and kept keys and values."""

import torch

from perceiver_pytorch.nn.causal import KeyValues, causal_mask

CPU = torch.device("cpu")


def test_queries_stand_at_the_last_keys():
    assert causal_mask(4, 4, None, CPU) is None
    assert causal_mask(1, 9, None, CPU) is None
    mask = causal_mask(2, 4, None, CPU)
    assert mask.shape == (1, 1, 2, 4)
    assert mask[0, 0].tolist() == [[True, True, True, False], [True] * 4]


def test_padding_is_seen_by_itself_alone():
    mask = causal_mask(3, 3, torch.tensor([[False, True, True]]), CPU)
    assert mask.shape == (1, 1, 3, 3)
    assert mask[0, 0].tolist() == [[True, False, False], [False, True, False], [False, True, True]]


def test_kept_keys_and_values_come_back_in_order():
    parts = [torch.randn(2, 3, n, 4) for n in (2, 1, 3)]
    kept = KeyValues(6)
    for part in parts:
        key, value = kept.append(part, -part)
    assert torch.equal(key, torch.cat(parts, 2))
    assert torch.equal(value, -key)
    assert kept.length == 6
