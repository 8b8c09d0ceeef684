import pytest
import torch

from perceiver_pytorch.nn.stems import kept, strided_coordinates, strided_mask


def test_what_the_mask_hides_counts_as_zero_even_nan() -> None:
    data = torch.tensor([[[1.0], [float("nan")], [3.0]]])
    assert kept(data, torch.tensor([[True, False, True]])).flatten().tolist() == [1.0, 0.0, 3.0]


def test_a_token_is_real_where_any_of_its_cells_is() -> None:
    mask = torch.tensor([[True, True, True, False, False], [False, False, False, True, False]])
    assert strided_mask(mask, (2,)).tolist() == [[True, True, False], [False, True, False]]


def test_the_mask_of_two_axes_is_pooled_along_both() -> None:
    mask = torch.zeros(1, 4, 3, dtype=torch.bool)
    mask[0, 3, 0] = True
    assert strided_mask(mask, (2, 2)).tolist() == [[[False, False], [True, False]]]


def test_a_token_is_at_the_first_of_its_cells() -> None:
    (found,) = strided_coordinates(None, (5,), (2,), torch.zeros(1))
    torch.testing.assert_close(found, torch.tensor([-1.0, 0.0, 1.0]))


def test_coordinates_of_samples_keep_their_shape() -> None:
    given = torch.tensor([[[-1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]])
    (found,) = strided_coordinates([given], (3,), (2,), torch.zeros(1))
    torch.testing.assert_close(found, given[:, ::2])


def test_an_axis_that_keeps_its_length_keeps_its_coordinates() -> None:
    given = torch.linspace(-1, 0, 4)
    assert strided_coordinates([given, None], (4, 6), (1, 1), given)[0] is given
    assert strided_coordinates(None, (4, 6), (1, 1), given) is None


@pytest.mark.parametrize("length", [5, 6, 7, 8])
def test_where_a_token_is_does_not_depend_on_the_padding(length: int) -> None:
    (whole,) = strided_coordinates([torch.linspace(-1, 1, 8)], (8,), (4,), torch.zeros(1))
    (cut,) = strided_coordinates([torch.linspace(-1, 1, 8)[:length]], (length,), (4,), torch.zeros(1))
    torch.testing.assert_close(cut, whole)
