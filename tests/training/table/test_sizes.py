import pytest

from perceiver_pytorch.data import InputSpec
from perceiver_pytorch.data.kinds.base import ModelInput
from perceiver_pytorch.data.kinds.number import NumbersSpec
from perceiver_pytorch.data.kinds.text import TextSpec
from perceiver_pytorch.data.targets.classes import ClassTarget
from perceiver_pytorch.training.table.settings import ModelConfig, preset
from perceiver_pytorch.training.table.sizes import LARGE, SMALL, chosen_sizes, num_tokens

NUMBERS = NumbersSpec("numbers", ("a", "b"), (0.0, 0.0), (1.0, 1.0))
LONG = TextSpec("text", 256)


def spec_of(modality, targets=1):
    named = tuple(ClassTarget(f"y{i}", ("u", "v"), (2, 2)) for i in range(targets))
    return InputSpec(named, (modality,), {})


@pytest.mark.parametrize(("modality", "sizes"), [(NUMBERS, SMALL), (LONG, LARGE)])
def test_sizes_go_by_what_there_is_to_read(modality, sizes):
    found, line = chosen_sizes(ModelConfig(), spec_of(modality))
    assert {name: getattr(found, name) for name in sizes} == sizes
    assert f"{sizes['num_latents']} latents" in line


def test_what_is_given_stays():
    found, line = chosen_sizes(ModelConfig(depth=5), spec_of(NUMBERS))
    assert found.depth == 5
    assert "5 layers" in line
    whole = preset("tiny").model
    assert chosen_sizes(whole, spec_of(NUMBERS)) == (whole, None)


def test_each_of_several_targets_has_latents():
    assert chosen_sizes(ModelConfig(), spec_of(NUMBERS, targets=3))[0].num_latents == 12


class Patched(NumbersSpec):
    def model_input(self):
        stem = {"name": "patch", "input_channels": 1, "patch": [2], "channels": 4}
        return ModelInput(1, 1, 2.0, (1,), stem=stem)


def test_tokens_are_those_after_the_stem():
    assert num_tokens(NUMBERS) == 2
    assert num_tokens(Patched("numbers", ("a", "b", "c"), (0.0,) * 3, (1.0,) * 3)) == 2
