import itertools
import math

import pytest
import torch
from torch import nn

from perceiver_pytorch.training.run.optimizers import Lamb, build_optimizer, build_schedule, fallen
from perceiver_pytorch.training.run.planning import Plan
from perceiver_pytorch.training.run.settings import TrainingSettings
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


def test_vectors_of_words_decay_by_themselves():
    words = nn.EmbeddingBag(5, 2)
    other = nn.EmbeddingBag(4, 2).requires_grad_(False)
    model = nn.ModuleList([words, nn.Linear(2, 2), nn.ModuleList([words]), other])
    *_, group = build_optimizer(model, TrainingConfig(weight_decay=0.3), 4e-3, word_decay=7.0).param_groups
    assert [p is words.weight for p in group["params"]] == [True]
    assert group["weight_decay"] == 7.0
    assert len(build_optimizer(model, TrainingConfig(), 4e-3).param_groups) == 2  # as runs had it before


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


@pytest.mark.parametrize(("begun", "steps"), [(2, 60), (5, 40), (30, 60)])
def test_a_plan_ends_the_schedule_with_its_last_step(begun, steps):
    config = TrainingSettings(warmup=0.1, min_lr=0.01)
    plan = Plan(begun, steps, 200, 1.0, 0.0, 0.0, 0.0)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    found = []
    schedule = build_schedule(optimizer, config, 200, lambda: plan if len(found) >= begun else None)
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    top = found.index(max(found))
    assert found[: top + 1] == sorted(found[: top + 1])
    assert found[top:] == sorted(found[top:], reverse=True)
    assert found[top] == pytest.approx(1.0, abs=0.06)
    assert found[-1] == pytest.approx(0.01, abs=0.02)
    assert max(abs(a - b) for a, b in zip(found[1:], found, strict=False)) < 0.3


def test_a_plan_for_all_steps_leaves_the_schedule_as_it_is():
    config = TrainingSettings()
    rates = []
    for plan in (None, Plan(3, 100, 100, 1.0, 0.0, 0.0, 0.0)):
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        schedule = build_schedule(optimizer, config, 100, lambda plan=plan: plan)
        rates.append([(optimizer.step(), schedule.step(), optimizer.param_groups[0]["lr"])[-1] for _ in range(100)])
    assert rates[0] == rates[1]


def test_lamb_calls_a_closure_and_leaves_what_has_no_gradient():
    weight, other = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = Lamb([weight, other])

    def closure():
        loss = (weight * torch.tensor([1.0, 3.0])).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 4.0
    assert optimizer.step() is None
    # Both steps are as long as the weights, times the default rate of 0.001.
    torch.testing.assert_close(weight.detach(), torch.full((2,), 0.999**2))
    assert other.tolist() == [1.0, 1.0]
    defaults = {name: optimizer.defaults[name] for name in ("lr", "betas", "eps", "weight_decay")}
    assert defaults == {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-6, "weight_decay": 0.0}


def test_frozen_weights_are_left_out_and_squares_have_a_short_memory():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    model[0].weight.requires_grad_(False)
    adam = build_optimizer(model, TrainingSettings(), 4e-3)
    assert [len(group["params"]) for group in adam.param_groups] == [1, 2]
    assert {(group["lr"], group["betas"]) for group in adam.param_groups} == {(4e-3, (0.9, 0.98))}
    lamb = build_optimizer(model, TrainingSettings(optimizer="lamb"), 4e-3)
    assert {(group["lr"], group["betas"]) for group in lamb.param_groups} == {(4e-3, (0.9, 0.999))}


def rates(config, steps, plan=lambda: None):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    (factor,) = build_schedule(optimizer, config, steps, plan).lr_lambdas
    return factor


def cosine(share, least=0.1):
    return least + (1 - least) * (1 + math.cos(math.pi * share)) / 2


CONFIG = TrainingSettings(warmup=0.2, min_lr=0.1)


def test_the_schedule_step_by_step():
    factor = rates(CONFIG, 20)
    assert [factor(step) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert [factor(step) for step in range(4, 21)] == pytest.approx([cosine(i / 16) for i in range(17)])
    assert factor(30) == pytest.approx(0.1)  # behind its end it stays
    assert rates(TrainingSettings(warmup=0.0), 10)(0) == 1.0  # one step at least
    assert [rates(TrainingSettings(warmup=1.0), 3)(step) for step in range(3)] == pytest.approx([1 / 3, 2 / 3, 1])
    assert rates(TrainingSettings(warmup=1.0, min_lr=0.5), 1)(2) == 0.5


def test_a_plan_after_the_rise_ends_the_fall_sooner():
    factor = rates(CONFIG, 20, lambda: Plan(12, 16, 20, 1.0, 0.0, 0.0, 0.0))
    assert [factor(step) for step in range(4, 13)] == pytest.approx([cosine(i / 16) for i in range(9)])
    assert [factor(step) for step in (13, 14, 16)] == pytest.approx([cosine(0.5 + 0.5 * i / 4) for i in (1, 2, 4)])
    at_the_top = rates(CONFIG, 20, lambda: Plan(4, 12, 20, 1.0, 0.0, 0.0, 0.0))
    assert at_the_top(5) == pytest.approx(cosine(1 / 8))


def test_a_plan_for_more_steps_makes_the_fall_as_long():
    factor = rates(CONFIG, 20, lambda: Plan(12, 28, 20, 1.0, 0.0, 0.0, 0.0))
    assert [factor(step) for step in (13, 20, 28)] == pytest.approx([cosine(0.5 + 0.5 * i / 16) for i in (1, 8, 16)])
    early = rates(CONFIG, 20, lambda: Plan(2, 40, 20, 1.0, 0.0, 0.0, 0.0))  # eight steps of forty rise
    assert early(10) == 1.0
    assert early(25) == pytest.approx(cosine(0.5))


def test_a_plan_made_anew_goes_on_from_the_rate_there_was():
    first, then = Plan(12, 28, 20, 1.0, 0.0, 0.0, 0.0), Plan(20, 40, 20, 1.0, 0.0, 0.0, 0.0, fallen=0.75)
    assert fallen(CONFIG, 20, first, 20) == 0.75
    factor = rates(CONFIG, 20, lambda: then)
    assert factor(20) == pytest.approx(rates(CONFIG, 20, lambda: first)(20))
    assert [factor(step) for step in (21, 30, 40)] == pytest.approx([cosine(0.75 + 0.25 * i / 20) for i in (1, 10, 20)])
    as_without_a_limit = Plan(20, 30, 30, 1.0, 0.0, 0.0, 0.0, fallen=0.75)
    assert rates(CONFIG, 30, lambda: as_without_a_limit)(25) == pytest.approx(cosine(0.875))
    assert fallen(CONFIG, 20, None, 2) is None


def test_a_plan_within_the_rise_ends_that_sooner_too():
    factor = rates(CONFIG, 20, lambda: Plan(2, 10, 20, 1.0, 0.0, 0.0, 0.0))  # two steps of ten rise
    assert [factor(step) for step in range(5)] == [0.25, 0.5, 0.75, 0.875, 1.0]
    assert [factor(step) for step in (4, 5, 7, 10)] == pytest.approx([cosine(i / 6) for i in (0, 1, 3, 6)])
    short = rates(CONFIG, 20, lambda: Plan(3, 4, 20, 1.0, 0.0, 0.0, 0.0))
    assert short(4) == 1.0
    assert short(5) == pytest.approx(0.1)
