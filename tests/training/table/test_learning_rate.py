"""The peak learning rate where none is given."""

import pytest
import torch

from perceiver_pytorch import (
    InputModality,
    MultiModalityWithTextPerceiver,
    MultiModalityWithTextPerceiverNoPooling,
    MultiTaskPerceiver,
)
from perceiver_pytorch.training.start.freezing import add_lora, freeze
from perceiver_pytorch.training.table.learning_rate import peak_learning_rate
from perceiver_pytorch.training.table.settings import StartConfig, TrainingConfig, preset

NUMBERS = InputModality("numbers", 2, 1, num_freq_bands=0, max_freq=2.0)
SMALL = {"depth": 1, "num_latents": 2, "latent_heads": 1, "latent_dim_head": 4, "num_latent_blocks_per_layer": 1}


def of_width(width):
    with torch.device("meta"):
        return MultiModalityWithTextPerceiver(modalities=[NUMBERS], latent_dim=width, num_classes=2, **SMALL)


def rate(model, start=None, **training):
    start = StartConfig(**({} if start is None else {"checkpoint": "runs/many", **start}))
    return peak_learning_rate(model, TrainingConfig(**training), start)[0]


@pytest.mark.parametrize(("width", "expected"), [(32, 4e-3), (64, 4e-3), (128, 2e-3), (512, 5e-4)])
def test_wider_models_take_smaller_steps(width, expected):
    assert rate(of_width(width)) == pytest.approx(expected)
    assert rate(of_width(width), optimizer="lamb") == pytest.approx(4e-3)


@pytest.mark.parametrize("name", ["tiny", "small", "base"])
def test_presets_leave_the_rate_to_the_model(name):
    assert preset(name).training.lr is None


def test_a_given_rate_counts():
    assert peak_learning_rate(of_width(64), TrainingConfig(lr=0.5), StartConfig(checkpoint="a")) == (0.5, "as given")


def test_fine_tuning_takes_smaller_steps_than_training_adapters_or_a_head():
    whole, adapted, head = (of_width(512) for _ in range(3))
    add_lora(adapted, 2, fresh=[])
    freeze(head, ["encoder"])
    assert rate(whole, {}) == pytest.approx(1.25e-4)
    assert rate(adapted, {"lora": 2}) == pytest.approx(5e-4)
    assert rate(head, {"freeze": ["encoder"]}) == pytest.approx(1e-3)
    narrow = of_width(64)
    freeze(narrow, ["encoder"])
    assert rate(narrow, {"freeze": ["encoder"]}) == 4e-3
    assert rate(whole, {}, optimizer="lamb") == 1e-3


def test_why_is_told():
    def why(model, **start):
        return peak_learning_rate(model, TrainingConfig(), StartConfig(**start))[1]

    assert why(of_width(64)) == "for fresh weights"
    assert why(of_width(64), checkpoint="a") == "for fine-tuning"
    assert why(of_width(64), checkpoint="a", lora=1) == "for adapters"
    head = of_width(64)
    freeze(head, ["encoder"])
    assert why(head, checkpoint="a") == "for a head on a frozen model"


def test_several_targets_have_the_rate_of_their_encoder():
    with torch.device("meta"):
        encoder = MultiModalityWithTextPerceiverNoPooling(modalities=[NUMBERS], latent_dim=128, **SMALL)
        assert rate(MultiTaskPerceiver(encoder=encoder, tasks={"a": 1, "b": 2})) == pytest.approx(2e-3)
