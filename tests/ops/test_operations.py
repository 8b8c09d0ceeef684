"""Counted operations are those that the formulas of the layers give."""

import torch
from torch import nn

from perceiver_pytorch import InputModality, MultiModalityPerceiver
from perceiver_pytorch.ops import use_backend
from perceiver_pytorch.ops.operations import count_operations, of_pairs


def test_a_matrix_product_counts_a_multiplication_and_an_addition_each():
    layer, x = nn.Linear(5, 7, bias=False), torch.randn(3, 5)
    assert count_operations(lambda: layer(x)) == 2 * 3 * 5 * 7


def test_a_cross_attend_counts_by_its_pairs():
    assert of_pairs((2, 16, 30), (2, 8, 9, 3)) == 2 * (2 * 3 + 2 * 2) * 2 * 16 * 72


def test_more_tokens_add_what_their_pairs_take():
    def operations(side: int) -> int:
        model = MultiModalityPerceiver(
            modalities=[InputModality("x", 3, 2, 2, 8.0)],
            depth=1,
            num_latents=4,
            latent_dim=8,
            cross_heads=2,
            cross_dim_head=4,
            latent_heads=1,
            latent_dim_head=8,
            num_latent_blocks_per_layer=1,
            num_classes=3,
        )
        with use_backend("compiled"):
            return count_operations(lambda: model({"x": torch.randn(2, side, side, 3)}))

    assert operations(16) - operations(8) == of_pairs((2, 8, 0), (2, 16, 16, 3)) - of_pairs((2, 8, 0), (2, 8, 8, 3))
