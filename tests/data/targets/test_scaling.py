"""Scaling is compared with scikit-learn, and learns nothing from few rows."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from perceiver_pytorch.data.targets import scaling
from perceiver_pytorch.data.targets.scaling import LEAST_ROWS, Fitted, fitted_scaling


def cross_entropy(logits: Tensor, encoded: Tensor) -> Tensor:
    return F.cross_entropy(logits, encoded, reduction="none")


def drawn(rows: int, factor: float, classes: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits that are ``factor`` times too large, and classes drawn as they should say."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, classes, generator=generator) * 2
    truth = torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]
    return logits * factor, truth


@pytest.mark.parametrize("factor", [0.3, 3.0])
def test_the_temperature_is_found(factor: float) -> None:
    logits, truth = drawn(5000, factor)
    fitted = fitted_scaling(logits, truth, cross_entropy, vector=False)
    assert fitted.method == "temperature"
    assert fitted.scale[0] * factor == pytest.approx(1, rel=0.06)
    assert len({*fitted.scale}) == 1
    assert not any(fitted.bias)


def test_the_temperature_is_the_least_of_a_dense_search() -> None:
    logits, truth = drawn(400, 2.5)
    fitted = scaling._fit(logits, truth, cross_entropy, vector=False, prior_rows=0.0)
    factors = np.exp(np.linspace(-3, 3, 6001))
    losses = [float(cross_entropy(logits.double() * factor, truth).mean()) for factor in factors]
    assert fitted.scale[0] == pytest.approx(factors[int(np.argmin(losses))], rel=2e-3)


def test_a_shift_and_a_factor_of_one_label_are_those_of_logistic_regression() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2000, 1, generator=generator) * 2
    truth = (torch.rand(2000, 1, generator=generator) < (0.4 * logits + 0.7).sigmoid()).float()

    def loss(outputs: Tensor, encoded: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(outputs, encoded.double(), reduction="none").mean(-1)

    fitted = scaling._fit(logits, truth, loss, vector=True, prior_rows=0.0)
    platt = linear_model.LogisticRegression(C=1e9, tol=1e-10).fit(logits.numpy(), truth[:, 0].numpy())
    assert fitted.scale[0] == pytest.approx(float(platt.coef_[0, 0]), rel=1e-3)
    assert fitted.bias[0] == pytest.approx(float(platt.intercept_[0]), rel=1e-3)


def test_vector_scaling_is_taken_where_one_output_is_off() -> None:
    logits, truth = drawn(3000, 1.0)
    fitted = fitted_scaling(logits + torch.tensor([2.0, 0.0, 0.0]), truth, cross_entropy)
    assert fitted.method == "vector"
    assert fitted.bias[0] - np.mean(fitted.bias[1:]) == pytest.approx(-2, abs=0.25)


@given(st.integers(0, LEAST_ROWS - 1), st.integers(0, 100))
@settings(max_examples=10, deadline=None)
def test_few_rows_leave_outputs_as_they_are(rows: int, seed: int) -> None:
    logits, truth = drawn(rows, 5.0, seed=seed) if rows else (torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))
    fitted = fitted_scaling(logits, truth, cross_entropy)
    assert fitted.method == "none"
    assert fitted.calibrated(logits.numpy()).tolist() == logits.tolist()


def test_calibrated_probabilities_do_no_worse_on_new_rows() -> None:
    """However few rows there are, and also where nothing was wrong: on the average, since 60 rows may mislead."""

    def worse(seed: int) -> float:
        logits, truth = drawn(60, 1.0, classes=5, seed=seed)
        new, then = drawn(5000, 1.0, classes=5, seed=seed + 10_000)
        calibrated = torch.from_numpy(fitted_scaling(logits, truth, cross_entropy).calibrated(new.numpy()))
        return float(cross_entropy(calibrated, then).mean() - cross_entropy(new, then).mean())

    found = [worse(seed) for seed in range(50)]
    assert np.mean(found) < 0.01
    assert np.quantile(found, 0.9) < 0.03
    assert max(found) < 0.06


def test_rows_that_are_all_right_give_a_finite_factor() -> None:
    truth = torch.arange(100) % 3
    fitted = fitted_scaling(F.one_hot(truth, 3).float(), truth, cross_entropy)
    assert 1 < fitted.scale[0] < 100


@pytest.mark.parametrize(
    "values",
    [
        {"scale": (1.0,)},
        {"scale": (0.0,), "bias": (0.0,)},
        {"at": (1.0, 1.0), "spread": (1.0, 1.0)},
        {"at": (1.0,), "spread": (0.0,)},
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(ValueError, match="must"):
        Fitted(**values)


def test_the_spread_is_interpolated_and_goes_on_beyond_its_ends() -> None:
    fitted = Fitted(at=(0.0, 1.0), spread=(1.0, 3.0))
    assert fitted.spread_at(np.array([-5.0, 0.5, 9.0])).tolist() == [1.0, 2.0, 3.0]
    assert Fitted().spread_at(np.array([4.0])).tolist() == [1.0]
