"""Which channels of a split embedding each layer sees."""

import pytest
import torch
from torch import nn

from perceiver_pytorch.models.modalities import InputModalityWithEmbedding, modality_from_config
from perceiver_pytorch.models.multi_modality_with_text_perceiver import MultiModalityWithTextPerceiver
from perceiver_pytorch.models.split_rules import RULES, channels_in_layer, seen_channels, width_for

DEPTH = 3


def seen(rule: str, width: int, layer: int) -> list[int]:
    return torch.arange(width)[seen_channels(rule, width, DEPTH, layer)].tolist()


def text(rule: str, width: int = 12) -> InputModalityWithEmbedding:
    return InputModalityWithEmbedding(
        "text", 1, 1, num_freq_bands=2, max_freq=4.0, embedding=nn.Embedding(9, width), split_rule=rule
    )


def model(rule: str) -> MultiModalityWithTextPerceiver:
    sizes = {"num_latents": 2, "latent_dim": 8, "cross_dim_head": 4, "latent_heads": 1, "latent_dim_head": 4}
    return MultiModalityWithTextPerceiver(
        modalities=[text(rule)], depth=DEPTH, num_classes=2, num_latent_blocks_per_layer=1, **sizes
    )


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("channels", [2, 4, 10])
def test_a_layer_sees_as_many_channels_as_the_width_was_made_for(rule: str, channels: int) -> None:
    width = width_for(rule, channels, DEPTH)
    assert channels_in_layer(rule, width, DEPTH) == channels
    assert all(len(seen(rule, width, layer)) == channels for layer in range(DEPTH))


@pytest.mark.parametrize("rule", RULES)
def test_every_channel_is_seen_by_some_layer(rule: str) -> None:
    width = width_for(rule, 4, DEPTH)
    assert set().union(*(seen(rule, width, layer) for layer in range(DEPTH))) == set(range(width))


def test_chunks_stand_in_order() -> None:
    assert [seen("chunks", 6, layer) for layer in range(DEPTH)] == [[0, 1], [2, 3], [4, 5]]


def test_layers_have_the_shared_chunk_and_nothing_else_in_common() -> None:
    assert [seen("shared", 8, layer) for layer in range(DEPTH)] == [[0, 1, 2, 3], [0, 1, 4, 5], [0, 1, 6, 7]]


def test_a_permutation_is_fixed_and_no_order_of_chunks() -> None:
    layers = [seen("permuted", 12, layer) for layer in range(DEPTH)]
    assert layers == [seen("permuted", 12, layer) for layer in range(DEPTH)]
    assert sorted(channel for layer in layers for channel in layer) == list(range(12))
    assert all(layer != sorted(layer) for layer in layers)


@pytest.mark.parametrize("rule", ["shared", "permuted"])
def test_a_saved_model_splits_as_before(rule: str) -> None:
    assert modality_from_config(text(rule).to_config()).split_rule == rule


def test_chunks_are_saved_as_by_earlier_versions() -> None:
    config = text("chunks").to_config()
    assert "split_rule" not in config
    assert modality_from_config(config).split_rule == "chunks"


@pytest.mark.parametrize("rule", RULES)
def test_layers_learn_the_channels_that_they_see(rule: str) -> None:
    made = model(rule)
    ids = torch.tensor([[1, 2, 3]])
    made({"text": ids}).sum().backward()
    assert (made.embeddings["text"].weight.grad[1:4] != 0).all()


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match=r"split_rule must be one of .*'chunks'"):
        text("chunk")


def test_an_embedding_that_is_too_narrow_is_refused() -> None:
    made = text("shared", width=3)
    with pytest.raises(ValueError, match="cannot be split into 4 chunks"):
        made.warn_unseen(DEPTH)
