"""Latents that grow wider and fewer from layer to layer."""

import pytest

import perceiver_pytorch as P
from small_models import build, inputs


def test_latents_may_be_halved_to_one() -> None:
    configurator = P.HierarchicalConfigurator(3, 4, 3)
    assert [configurator.get_num_latents(i) for i in range(3)] == [4, 2, 1]
    assert [configurator.get_latent_dim(i) for i in range(3)] == [3, 6, 12]
    model = build("HierarchicalMultiModalityPerceiver", depth=3, configurator=configurator)
    assert model(inputs("HierarchicalMultiModalityPerceiver")).shape == (2, 5)


def test_a_plan_of_ones_own_for_the_latents() -> None:
    class Constant(P.HierarchicalConfigurator):
        def get_num_latents(self, layer_index: int) -> int:
            return (7, 7, 2)[layer_index]

        def get_latent_dim(self, layer_index: int) -> int:
            return (4, 4, 9)[layer_index]

    model = build("HierarchicalMultiModalityPerceiverNoPooling", depth=3, configurator=Constant(3, 7, 4))
    assert model(inputs("HierarchicalMultiModalityPerceiverNoPooling")).shape == (2, 2, 9)


def test_arguments_without_effect_are_said_to_have_none() -> None:
    with pytest.warns(UserWarning, match="num_latents and latent_dim have no effect"):
        build("HierarchicalMultiModalityPerceiverNoPooling", num_latents=8)
