"""Position features."""

import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from perceiver_pytorch.nn import fourier_encode, position_table
from perceiver_pytorch.nn.fourier import KEPT_LENGTH, _kept_table, evenly_spaced, frequencies
from release import release_names


@pytest.mark.parametrize(
    ("max_freq", "bands", "base"), [(10.0, 4, 2), (8.0, 6, 3), (2.0, 3, 10), (1.0, 2, 2), (7.0, 1, 2)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_equals_the_release_to_the_last_bit(max_freq: float, bands: int, base: float, dtype: torch.dtype) -> None:
    x = torch.linspace(-1, 1, 14, dtype=dtype).view(7, 2)
    expected = release_names().fourier_encode(x, max_freq, bands, base)
    assert torch.equal(fourier_encode(x, max_freq, bands, base), expected)
    assert fourier_encode(x, max_freq, bands, base).shape == (7, 2, 2 * bands + 1)


def test_features_are_sines_cosines_and_the_coordinate() -> None:
    x = torch.tensor([-1.0, 0.25, 0.7])
    features = fourier_encode(x, max_freq=8.0, num_bands=3, base=2)
    for band, frequency in enumerate((2.0, math.sqrt(8), 4.0)):
        torch.testing.assert_close(features[:, band], torch.sin(math.pi * frequency * x))
        torch.testing.assert_close(features[:, 3 + band], torch.cos(math.pi * frequency * x))
    assert torch.equal(features[:, 6], x)


def test_linear_bands_run_from_one_to_half_the_rate() -> None:
    torch.testing.assert_close(frequencies(10.0, 5, scale="linear"), torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))


def test_logarithmic_bands_run_from_the_base_to_half_the_rate() -> None:
    torch.testing.assert_close(frequencies(32.0, 4, base=2), torch.tensor([2.0, 4.0, 8.0, 16.0]))
    torch.testing.assert_close(frequencies(20.0, 3, base=10), torch.tensor([10.0, 10.0, 10.0]))


def test_without_bands_the_coordinate_remains() -> None:
    assert torch.equal(position_table(5, max_freq=4.0, num_bands=0), torch.linspace(-1, 1, 5)[:, None])


def test_a_table_has_a_row_per_coordinate() -> None:
    table = position_table(6, max_freq=8.0, num_bands=3)
    assert table.shape == (6, 7)
    assert torch.equal(table, fourier_encode(torch.linspace(-1, 1, 6), 8.0, 3))
    assert torch.equal(position_table(1, max_freq=8.0, num_bands=3)[0, -1], torch.tensor(-1.0))


def test_a_kept_table_serves_inference_training_and_every_dtype() -> None:
    with torch.inference_mode():
        first = position_table(7, 10.0, 3)
    assert not first.is_inference()
    assert position_table(7, 10.0, 3) is first
    torch.set_default_dtype(torch.float64)
    try:
        assert position_table(7, 10.0, 3).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.device("meta"):
        assert position_table(7, 10.0, 3).is_meta


def test_a_fake_table_is_not_kept() -> None:
    _kept_table.cache_clear()
    with FakeTensorMode():
        assert type(position_table(11, 7.0, 5)) is FakeTensor
    table = position_table(11, 7.0, 5)
    assert type(table) is torch.Tensor
    assert torch.equal(table, fourier_encode(torch.linspace(-1, 1, 11), 7.0, 5))
    assert position_table(11, 7.0, 5) is table


def test_long_tables_are_made_anew() -> None:
    """A sound's at 44 kHz; a shorter one is kept, sixteen of them at most."""
    assert KEPT_LENGTH == 65_536
    _kept_table.cache_clear()
    position_table(KEPT_LENGTH + 1, 10.0, 1)
    assert _kept_table.cache_info().currsize == 0
    kept = position_table(KEPT_LENGTH, 10.0, 1)
    assert position_table(KEPT_LENGTH, 10.0, 1) is kept
    for length in range(1, 16):
        position_table(length, 10.0, 1)
    assert position_table(KEPT_LENGTH, 10.0, 1) is kept
    for length in range(1, 17):
        position_table(length, 11.0, 1)
    assert position_table(KEPT_LENGTH, 10.0, 1) is not kept


def test_a_graph_makes_the_coordinates_of_linspace(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last bit in float32; by formula, since the length may be a symbol there."""
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    for length in (0, *range(1, 400), 1023, 1024, 1025, 4096, 44_100, KEPT_LENGTH, KEPT_LENGTH + 1):
        expected = torch.linspace(-1, 1, length)
        assert torch.equal(evenly_spaced(length, cpu, torch.float32), expected), length
        double = torch.linspace(-1, 1, length, dtype=torch.float64)
        torch.testing.assert_close(evenly_spaced(length, cpu, torch.float64), double, rtol=0, atol=3e-16)


def test_a_table_made_while_gradients_are_transformed_is_of_use_afterwards() -> None:
    _kept_table.cache_clear()
    torch.func.grad(lambda x: (position_table(12, 7.0, 5) * x).sum())(torch.ones(()))
    assert _kept_table.cache_info().currsize == 0
    assert position_table(12, 7.0, 5).sum().isfinite()
