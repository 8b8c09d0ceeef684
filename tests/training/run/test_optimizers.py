import itertools

import pytest
import torch
from torch import nn

from perceiver_pytorch.training.run.optimizers import Lamb, build_optimizer, build_schedule
from perceiver_pytorch.training.table.settings import TrainingConfig


def test_lamb_takes_the_steps_of_its_paper():
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(4, 3, dtype=torch.float64))
    expected = weight.detach().clone()
    lr, (beta1, beta2), eps, decay = 0.1, (0.9, 0.999), 1e-6, 0.05
    optimizer = Lamb([weight], lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=decay)
    m = v = torch.zeros_like(expected)
    for step in range(1, 6):
        grad = torch.sin(expected * step)
        weight.grad = grad.clone()
        optimizer.step()
        # Algorithm 2 of arXiv 1904.00962, with the identity for its scaling function.
        m = beta1 * m + (1 - beta1) * grad
        v = beta2 * v + (1 - beta2) * grad**2
        r = (m / (1 - beta1**step)) / ((v / (1 - beta2**step)).sqrt() + eps)
        u = r + decay * expected
        expected = expected - lr * expected.norm() / u.norm() * u
        torch.testing.assert_close(weight.detach(), expected, rtol=1e-12, atol=0)


def test_lamb_moves_a_tensor_of_zeros():
    bias = nn.Parameter(torch.zeros(3))
    bias.grad = torch.ones(3)
    Lamb([bias], lr=0.1).step()
    torch.testing.assert_close(bias.detach(), torch.full((3,), -0.1), rtol=1e-4, atol=0)


@pytest.mark.parametrize("name", ["adamw", "lamb"])
def test_only_matrices_decay(name):
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    optimizer = build_optimizer(model, TrainingConfig(optimizer=name, weight_decay=0.3), 4e-3)
    matrices, vectors = optimizer.param_groups
    assert [p.dim() for p in matrices["params"]] == [2]
    assert matrices["weight_decay"] == 0.3
    assert [p.dim() for p in vectors["params"]] == [1, 1, 1]
    assert vectors["weight_decay"] == 0


def test_the_learning_rate_rises_and_falls():
    config = TrainingConfig(lr=1.0, warmup=0.1, min_lr=0.01)
    optimizer = build_optimizer(nn.Linear(1, 1), config, 1.0)
    schedule = build_schedule(optimizer, config, 100)
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert max(rates) == 1.0
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
    assert rates[-1] == pytest.approx(0.01, abs=2e-3)
