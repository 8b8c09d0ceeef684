import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perceiver_pytorch.nn.stems import PatchStem, stem_config, stem_from_config


def test_a_token_is_the_linear_layer_of_its_patch() -> None:
    stem = PatchStem(3, (2, 2), channels=5)
    data = torch.randn(2, 4, 6, 3)
    tokens, _, _ = stem(data, None, None)
    assert tokens.shape == (2, 2, 3, 5)
    patch = data[1, 2:4, 4:6]
    expected = torch.einsum("hwc,ochw->o", patch, stem.project.weight) + stem.project.bias
    torch.testing.assert_close(tokens[1, 1, 2], expected)


@given(st.integers(1, 9), st.integers(0, 5), st.integers(1, 3))
def test_a_row_does_not_depend_on_its_padding(length: int, padding: int, patch: int) -> None:
    stem = PatchStem(2, (patch,), channels=3)
    row = torch.randn(1, length, 2)
    padded = torch.cat([row, torch.full((1, padding, 2), torch.nan)], 1)
    mask = torch.arange(length + padding)[None] < length
    alone, _, _ = stem(row, None, None)
    tokens, found, _ = stem(padded, mask, None)
    torch.testing.assert_close(tokens[found], alone[0])


def test_a_configuration_makes_it_again() -> None:
    stem = stem_from_config({"name": "patch", "input_channels": 2, "patch": [4, 4], "channels": 8})
    assert stem_config(stem) == {"name": "patch", "input_channels": 2, "patch": [4, 4], "channels": 8}
    assert stem.channels == 8


def test_sizes_must_be_positive() -> None:
    with pytest.raises(ValueError, match="patch"):
        PatchStem(2, (0,))
    with pytest.raises(ValueError, match="1 to 3 sizes"):
        PatchStem(2, (1, 1, 1, 1))
