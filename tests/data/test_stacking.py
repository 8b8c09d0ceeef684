import numpy as np
import pytest
import torch

from perceiver_pytorch.data.stacking import evenly_spaced


@pytest.mark.parametrize("lengths", [range(1, 400), (4410, 44_100, 65_537)])
def test_places_have_the_bits_of_linspace(lengths):
    for length in lengths:
        found = evenly_spaced(length)
        assert found.dtype == np.float32
        assert np.array_equal(found, torch.linspace(-1, 1, length).numpy()), length
