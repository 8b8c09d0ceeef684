"""Gradients that a backward function leaves out."""

import torch

from perceiver_pytorch.ops.operator import Gradients


def test_what_was_not_asked_for_is_none_for_every_table() -> None:
    rows, table = torch.zeros(1), torch.ones(2)
    assert Gradients(rows).each(2) == [rows, None, None, None, None]
    assert Gradients(rows, tables=[table]).each(1) == [rows, None, None, table]
