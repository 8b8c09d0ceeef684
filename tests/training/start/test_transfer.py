"""Weights of one model as those of another: by the channels that they read."""

import torch
from torch import nn

from perceiver_pytorch import InputModality, InputModalityWithEmbedding, MultiModalityWithTextPerceiver
from perceiver_pytorch.training.start.transfer import match_modalities, move_weights

SIZES = {"depth": 2, "num_latents": 4, "latent_dim": 16, "latent_heads": 2, "latent_dim_head": 8, "num_classes": 3}


def small(*modalities, **sizes):
    torch.manual_seed(len(modalities))
    return MultiModalityWithTextPerceiver(modalities=modalities, **{**SIZES, **sizes})


def image(channels=3, name="image"):
    return InputModality(name, channels, 2, num_freq_bands=2, max_freq=4.0)


def text(name="text", rows=9):
    return InputModalityWithEmbedding(
        name, 1, 1, num_freq_bands=2, max_freq=4.0, embedding=nn.Embedding(rows, 5), split_embedding=False
    )


def test_channels_are_moved_block_by_block():
    """A modality of few channels leaves, another one comes, and a wider one: positions and codes keep their weights."""
    old, new = small(image(3), text()), small(image(3), text(), image(7, "map"))
    matches = match_modalities(new.modalities, old.modalities)
    assert matches == {"image": "image", "text": "text"}
    move_weights(new, old, matches)
    # Widths: old 5 + 5 (text) = 13 with image 3 + 10; codes of 2 and 3 modalities, sorted: image, (map,) text.
    before, after = (model.layers[0].cross_attend.fn.to_kv.weight for model in (old, new))
    assert (old.max_modality_dim, new.max_modality_dim) == (15, 20)
    assert torch.equal(after[:, :5], before[:, :5])
    assert torch.equal(after[:, 7:17], before[:, 3:13])
    assert torch.equal(after[:, 17], before[:, 13])
    assert torch.equal(after[:, 19], before[:, 14])
    assert not torch.equal(after[:, 18], before[:, 14])


def test_a_renamed_modality_is_found_by_what_it_reads():
    old, new = small(image(3), text("note")), small(image(3, "photo"), text("note"))
    assert match_modalities(new.modalities, old.modalities) == {"photo": "image", "note": "note"}
    assert match_modalities(small(image(4, "photo")).modalities, old.modalities) == {}


def test_rows_of_an_embedding_follow_their_values():
    old, new = small(text("kind", 3)), small(text("kind", 4))
    result = move_weights(new, old, {"kind": "kind"}, {"kind": torch.tensor([2, -1, 0, 1])})
    before, after = old.embeddings["kind"].weight, new.embeddings["kind"].weight
    assert torch.equal(after[[0, 2, 3]], before[[2, 0, 1]])
    assert "embeddings.kind.weight" in result.fresh
    assert result.taken["embeddings.kind.weight"] == 15
