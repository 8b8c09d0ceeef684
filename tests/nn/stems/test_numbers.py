"""A token per number column."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perceiver_pytorch.nn.stems import NumbersStem, stem_config, stem_from_config


def numbers(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    data = torch.randn(rows, columns, 3, generator=torch.Generator().manual_seed(seed))
    data[..., 2] = 0.0
    return data


def test_a_token_is_its_columns_own_layer_over_values_and_waves() -> None:
    stem, data = NumbersStem(3, 3, channels=5, num_frequencies=2), numbers(4, 3)
    tokens, mask, coordinates = stem(data, None, None)
    assert (tokens.shape, mask, coordinates) == ((4, 3, 5), None, None)
    score, value, _ = data[1, 2]
    angles = 2 * math.pi * score * stem.frequencies[2]
    features = torch.cat([torch.stack([score, value]), angles.sin(), angles.cos()])
    torch.testing.assert_close(tokens[1, 2], (features @ stem.weight[2] + stem.bias[2]).relu())


def test_a_missing_number_has_a_token_of_its_column() -> None:
    stem, data = NumbersStem(2, 3), numbers(2, 2)
    data[0, 1] = torch.tensor([0.0, 0.0, 1.0])
    tokens, _, _ = stem(data, None, None)
    torch.testing.assert_close(tokens[0, 1], stem.missing[1])
    tokens.sum().backward()
    assert stem.missing.grad is not None
    assert stem.missing.grad[1].abs().sum() > 0
    assert stem.missing.grad[0].abs().sum() == 0


@given(st.integers(1, 5), st.integers(1, 4), st.data())
def test_what_the_mask_hides_does_not_matter(rows: int, columns: int, draw: st.DataObject) -> None:
    flags = draw.draw(st.lists(st.booleans(), min_size=rows * columns, max_size=rows * columns))
    mask = torch.tensor(flags).view(rows, columns)
    stem, data = NumbersStem(columns, 3, channels=4), numbers(rows, columns)
    tokens, found, _ = stem(torch.where(mask[..., None], data, torch.nan), mask, None)
    whole, _, _ = stem(data, None, None)
    assert found is mask
    assert (tokens[~mask] == 0).all()
    torch.testing.assert_close(tokens[mask], whole[mask])


def test_a_row_does_not_depend_on_the_others() -> None:
    stem, data = NumbersStem(3, 3), numbers(5, 3)
    alone, _, _ = stem(data[2:3], None, None)
    torch.testing.assert_close(alone, stem(data, None, None)[0][2:3])


def test_a_configuration_makes_it_again() -> None:
    config = {
        "name": "numbers",
        "columns": 2,
        "input_channels": 3,
        "channels": 8,
        "num_frequencies": 4,
        "frequency": 0.5,
    }
    stem = stem_from_config(config)
    assert isinstance(stem, NumbersStem)
    assert stem_config(stem) == config


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"columns": 0}, "columns"),
        ({"input_channels": 1}, "input_channels"),
        ({"channels": 0}, "channels"),
        ({"num_frequencies": 0}, "num_frequencies"),
        ({"frequency": 0.0}, "frequency must"),
    ],
)
def test_sizes_must_be_positive(arguments: dict[str, float], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        NumbersStem(**{"columns": 2, "input_channels": 3, **arguments})
