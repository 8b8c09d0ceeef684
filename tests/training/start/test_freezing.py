"""What is frozen and what is adapted, by the names of weights."""

import pytest
import torch
from torch import nn

from perceiver_pytorch import (
    InputModality,
    InputModalityWithEmbedding,
    LearnedQueries,
    MultiModalityWithTextPerceiver,
    MultiModalityWithTextPerceiverNoPooling,
    MultiTaskPerceiver,
    Output,
    PerceiverIO,
)
from perceiver_pytorch.training.start.freezing import (
    LowRank,
    add_lora,
    freeze,
    is_head,
    is_in_encoder,
    merge_lora,
)

SIZES = {"depth": 2, "num_latents": 4, "latent_dim": 16, "latent_heads": 2, "latent_dim_head": 8}
SIZES["num_latent_blocks_per_layer"] = 1


def modalities():
    text = InputModalityWithEmbedding(
        "text", 1, 1, num_freq_bands=2, max_freq=4.0, embedding=nn.Embedding(9, 5), split_embedding=False
    )
    return [InputModality("image", 3, 2, num_freq_bands=2, max_freq=4.0), text]


@pytest.fixture
def model():
    return MultiModalityWithTextPerceiver(modalities=modalities(), num_classes=3, **SIZES)


def several():
    encoder = MultiModalityWithTextPerceiverNoPooling(modalities=modalities(), **SIZES)
    return MultiTaskPerceiver(encoder=encoder, tasks={"a": 2, "b": 1})


def trained(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def names(model):
    return {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize(
    ("name", "head", "encoder"),
    [
        ("to_logits.1.weight", True, False),
        ("heads.0.bias", True, False),
        ("encoder.heads.0.bias", True, False),
        ("queries", False, False),
        ("decoder.block.weight", False, False),
        ("latents", False, True),
        ("encoder.latents", False, True),
        ("layers.0.queries", False, True),
    ],
)
def test_heads_and_what_asks_the_latents_are_no_part_of_the_encoder(name, head, encoder):
    assert is_head(name) == head
    assert is_in_encoder(name) == encoder


@pytest.mark.parametrize(
    ("pattern", "frozen"),
    [
        ("encoder", lambda name: not name.startswith(("to_logits.", "heads."))),
        ("embeddings", lambda name: "embeddings." in name),
        ("latents", lambda name: name.endswith("latents")),
        ("layers.0.*", lambda name: name.removeprefix("encoder.").startswith("layers.0.")),
        ("*.weight", lambda name: name.endswith(".weight")),
        ("latent?", lambda name: name.endswith("latents")),
    ],
)
@pytest.mark.parametrize("tasks", [False, True])
def test_a_pattern_freezes_the_weights_that_it_names(model, pattern, frozen, tasks):
    model = several() if tasks else model
    freeze(model, [pattern])
    expected = {name for name in names(model) if frozen(name)}
    assert expected
    assert names(model) - trained(model) == expected


def test_several_patterns_add_up_and_none_freezes_nothing(model):
    freeze(model, [])
    assert trained(model) == names(model)
    freeze(model, ["latents", "embeddings"])
    assert names(model) - trained(model) == {"latents", "embeddings.text.weight"}
    six = ", ".join(list(dict(model.named_parameters()))[:6])
    with pytest.raises(ValueError, match=rf"--freeze layer0 names no weight; it .*; the weights are {six}, \.\.$"):
        freeze(model, ["layer0"])
    with pytest.raises(ValueError, match=r"--freeze encoder, to_logits\.\* leaves nothing to train"):
        freeze(model, ["encoder", "to_logits.*"])


def test_an_adapter_adds_twice_the_product_of_its_matrices_which_starts_as_nothing():
    weight = torch.randn(4, 3)
    low = LowRank(weight, 2)
    assert (low.lora_A.shape, low.lora_B.shape) == ((2, 3), (4, 2))
    assert torch.equal(low(weight), weight)
    bound = 1 / 3**0.5  # as a linear layer of so many inputs is drawn
    assert 0 < low.lora_A.abs().max() <= bound
    assert LowRank(torch.zeros(1, 300), 200).lora_A.abs().max().item() == pytest.approx(1 / 300**0.5, rel=0.01)
    low.lora_B.data.fill_(0.5)
    torch.testing.assert_close(low(weight), weight + low.lora_A.sum(0).expand(4, 3))


def perceiver_io():
    outputs = [Output("class", LearnedQueries(8), 5)]
    sizes = {"depth": 2, "num_latents": 4, "latent_dim": 16, "latent_heads": 2, "num_latent_blocks_per_layer": 1}
    return PerceiverIO(
        modalities=[InputModality("image", 3, 2, num_freq_bands=2, max_freq=4.0)], outputs=outputs, **sizes
    )


@pytest.mark.parametrize("kind", ["one", "several", "io"])
def test_with_adapters_they_and_the_head_are_trained_and_in_the_end_added(model, kind):
    model = {"one": lambda: model, "several": several, "io": perceiver_io}[kind]()
    model.eval()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    inputs = {"image": torch.randn(2, 3, 3, 3)} | ({} if kind == "io" else {"text": torch.randint(9, (2, 4))})
    expected = model(inputs)
    add_lora(model, 3, fresh=[])
    torch.testing.assert_close(model(inputs), expected)  # adapters start as nothing
    plain = {name for name in trained(model) if "lora_" not in name}
    assert plain == {name for name in before if is_head(name)}
    adapters = {name: parameter for name, parameter in model.named_parameters() if "lora_A" in name}
    assert {parameter.shape[0] for parameter in adapters.values()} == {3}
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            nn.init.normal_(parameter, std=0.3)
    adapted = model(inputs)
    merge_lora(model)
    assert model.state_dict().keys() == before.keys()
    torch.testing.assert_close(model(inputs), adapted)
    moved = {name for name, weight in model.state_dict().items() if not torch.equal(weight, before[name])}
    linear = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    assert moved == {name for name in linear if not is_head(name)}
    merge_lora(model)  # once more there is nothing to add
    assert model.state_dict().keys() == before.keys()


def test_what_is_fresh_is_trained_as_a_whole_unless_it_is_frozen(model):
    read, called, frozen = "layers.0.0.fn.to_kv.weight", "latents", "embeddings.text.weight"
    freeze(model, ["embeddings"])
    add_lora(model, 2, fresh=[read, called, frozen])
    plain = {name for name in trained(model) if "lora_" not in name and not is_head(name)}
    assert plain == {read, called}
    assert "layers.1.0.fn.parametrizations.weight.original" not in trained(model)
    assert any(name.startswith("layers.1.0.fn.to_kv.parametrizations.weight.0.lora_") for name in trained(model))


def test_a_model_without_a_linear_layer_has_none_to_adapt():
    with pytest.raises(ValueError, match="--lora found no linear layer to adapt"):
        add_lora(nn.Sequential(nn.LayerNorm(3)), 2, fresh=[])
