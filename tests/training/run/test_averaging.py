from types import SimpleNamespace

import pytest
import torch
from torch import nn

from perceiver_pytorch.training.run.averaging import AveragedWeights, averaged_weights, load_average


class Model(nn.Module):
    def __init__(self, dtype=torch.float32):
        super().__init__()
        self.layer = nn.Linear(2, 1, dtype=dtype)
        self.norm = nn.BatchNorm1d(1)
        self.frozen = nn.Parameter(torch.zeros(2), requires_grad=False)
        self.register_buffer("table", torch.zeros(3), persistent=False)


def module(**options):
    torch.manual_seed(0)
    return SimpleNamespace(model=Model(**options))


def trained(averaged, module, steps, begin=0):
    trainer = SimpleNamespace(global_step=begin)
    averaged.on_train_start(trainer, module)
    for step in range(begin + 1, begin + steps + 1):
        with torch.no_grad():
            for weight in averaged_weights(module.model).values():
                weight.add_(step)
        trainer.global_step = step
        averaged.on_train_batch_end(trainer, module, None, None, 0)


def test_what_changes_in_training_is_averaged():
    expected = {"layer.weight", "layer.bias", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"}
    assert averaged_weights(Model()).keys() == expected


@pytest.mark.parametrize("decay", [0.9, 0.2])
def test_the_first_steps_count_more(decay):
    averaged, it = AveragedWeights(decay), module()
    expected = start = it.model.layer.bias.item()
    trained(averaged, it, 3)
    for step, weight in ((1, start + 1), (2, start + 3), (3, start + 6)):
        kept = min(decay, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * weight
    assert averaged.average["layer.bias"].item() == pytest.approx(expected, rel=1e-6)
    assert it.model.layer.bias.item() == pytest.approx(start + 6, rel=1e-6)


def test_a_validation_sees_the_average_and_training_its_own_weights():
    averaged, it = AveragedWeights(0.9), module()
    trained(averaged, it, 3)
    own, average = it.model.layer.weight.clone(), averaged.average["layer.weight"].clone()
    averaged.on_validation_start(None, it)
    assert torch.equal(it.model.layer.weight, average)
    averaged.on_validation_end(None, it)
    assert torch.equal(it.model.layer.weight, own)
    assert torch.equal(averaged.average["layer.weight"], average)


def test_it_goes_on_from_a_checkpoint():
    whole, first, second = (AveragedWeights(0.9) for _ in range(3))
    one, other = module(), module()
    trained(whole, one, 5)
    trained(first, other, 2)
    checkpoint = {}
    first.on_save_checkpoint(None, other, checkpoint)
    second.on_load_checkpoint(None, other, checkpoint)
    trained(second, other, 3, begin=2)
    assert all(torch.equal(second.average[name], value) for name, value in whole.average.items())


def test_half_precision_is_averaged_in_full():
    averaged, it = AveragedWeights(0.99), module(dtype=torch.bfloat16)
    trained(averaged, it, 2)
    assert averaged.average["layer.weight"].dtype == torch.float32
    averaged.swap()
    assert it.model.layer.weight.dtype == torch.bfloat16
    assert torch.equal(it.model.layer.weight, averaged_weights(it.model)["layer.weight"])


def test_the_average_of_a_checkpoint_is_loaded_and_another_models_is_not():
    averaged, it, other = AveragedWeights(0.9), module(), module()
    trained(averaged, it, 3)
    load_average(other.model, averaged.average)
    assert torch.equal(other.model.norm.running_mean, averaged.average["norm.running_mean"])
    with pytest.raises(KeyError, match="averaged has weights that the model lacks"):
        load_average(other.model, {"head.weight": torch.ones(1)})
