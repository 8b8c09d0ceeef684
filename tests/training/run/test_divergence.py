import math
import pickle
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from perceiver_pytorch.training.run.divergence import (
    DivergedError,
    Divergence,
    all_finite,
    diverged,
    gradients_finite,
    largest_activation,
)


class Two(nn.Module):
    """A `Resumable`'s model and forward pass, as far as they matter here."""

    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(nn.Sequential(nn.Linear(1, 1, bias=False)), nn.Sequential(nn.ReLU(), nn.ReLU()))
        nn.init.constant_(self.model[0][0].weight, -3.0)
        group = {"lr": 0.5, "initial_lr": 2.0}
        self.trainer = SimpleNamespace(optimizers=[SimpleNamespace(param_groups=[group])])

    def forward(self, batch):
        return self.model(batch)


def test_the_largest_finite_activation_is_named():
    batch = torch.tensor([[1.0], [math.inf], [2.0]])
    module = Two()
    assert largest_activation(module, batch) == "the largest activation is 6, of 0"
    assert not any(part._forward_hooks for part in module.modules())


def test_a_module_without_a_forward_pass_has_no_known_activation():
    module = Two()
    module.forward = nn.Module().forward
    assert largest_activation(module, torch.ones(1, 1)) == ""


def test_the_message_says_where_at_which_rate_and_what_to_do():
    error = diverged(Two(), "the loss is nan", 7, torch.ones(1, 1))
    assert str(error) == (
        "training diverged: the loss is nan in step 7, at a learning rate of 0.5; the largest activation is 3, of 0. "
        "Start a new run with a smaller --lr, such as 0.001."
    )
    assert "learning rate of 0.5. Start" in str(diverged(Two(), "a weight is nan", 7))
    small = DivergedError(Divergence("the loss is nan", 7, 1e-4, 1e-3))
    assert str(small).endswith("such as 0.0001.")


def test_weights_and_gradients():
    module = nn.Linear(2, 2)
    assert all_finite(module)
    weights = list(module.parameters())
    weights[0].grad = torch.full((2, 2), 3e38)
    assert gradients_finite(torch.tensor(1.0), weights)
    assert gradients_finite(torch.tensor(math.inf), weights)  # the norm overflows, the gradient does not
    weights[0].grad[0, 0] = math.nan
    assert not gradients_finite(torch.tensor(math.nan), weights)
    module.bias.data[1] = -math.inf
    assert not all_finite(module)
    assert all_finite(nn.ReLU())


@pytest.mark.parametrize(("step", "words"), [(1, "No weight had changed yet"), (2, "smaller --lr, such as")])
def test_at_the_first_step_the_rate_is_not_to_blame(step, words):
    assert words in Divergence("the loss is nan", step, 1.0, 1.0).remedy


class Answers(nn.Module):
    """Parts whose outputs are mappings and lists, some of them of whole numbers or empty."""

    def __init__(self):
        super().__init__()
        self.inner = nn.ReLU()

    def forward(self, batch):
        values = self.inner(batch)
        return {"ids": torch.tensor([1000]), "none": values[:0], "parts": [values * 0.5, (values,)], "name": "text"}


def test_activations_are_looked_for_in_mappings_and_lists_of_numbers():
    module = Two()
    module.model = nn.Sequential(Answers())
    assert largest_activation(module, torch.tensor([0.25, math.nan, math.inf])) == (
        "the largest activation is 0.25, of 0"
    )
    assert largest_activation(module, torch.zeros(1)) == ""


def test_an_error_of_another_process_says_the_same():
    divergence = Divergence("the loss is nan", 1234, 0.5, 0.5)
    error = pickle.loads(pickle.dumps(DivergedError(divergence)))
    assert error.divergence == divergence
    assert "in step 1,234, at a learning rate of 0.5. Start" in str(error)
    assert "0.5. It is kept. Start" in str(DivergedError(divergence, "It is kept."))


def test_a_rate_without_a_schedule_is_its_own_peak():
    module = Two()
    module.trainer.optimizers[0].param_groups[0] = {"lr": 1e-4}
    found = diverged(module, "a weight is nan", 7).divergence
    assert found == Divergence("a weight is nan", 7, 1e-4, 1e-4, changed=True)


def test_what_a_first_step_did_to_the_weights_is_to_blame():
    assert "No weight had changed" in Divergence("the loss is nan", 1, 1.0, 1.0).remedy
    assert Divergence("the validation loss is nan", 1, 1.0, 1.0, changed=True).remedy.endswith("--lr, such as 0.001.")
