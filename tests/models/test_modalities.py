"""Modalities: their channels, their configuration, their codes, and release 1.4.0's methods."""

import dataclasses
import json

import pytest
import torch
from torch import nn

import perceiver_pytorch as P
from perceiver_pytorch.models.modalities import make_context, modality_encoding, modality_from_config
from perceiver_pytorch.nn import position_table
from release import our_names, release_names
from small_models import audio, image, text


@pytest.mark.parametrize("arguments", [("a", 3, 2, 6, 4.0), ("b", 1, 1, 0, 8.0, 3), ("c", 2, 3, 5, 1.0, 10)])
def test_values_are_those_of_the_release(arguments: tuple[object, ...]) -> None:
    for name in ("InputModality", "InputModalityWithEmbedding"):
        ours, theirs = getattr(our_names(), name)(*arguments), getattr(release_names(), name)(*arguments)
        for field in dataclasses.fields(theirs):
            assert getattr(ours, field.name) == getattr(theirs, field.name)
        assert ours.input_dim == theirs.input_dim
    assert ours.embedding_dim(3) == theirs.embedding_dim(3)
    data = torch.randn(2, 5, 1)
    assert ours.maybe_embed(data) is data
    assert ours.embedding_for_layer(data, 1, 3) is data


def test_an_embedding_is_split_as_in_the_release() -> None:
    embedding = nn.Embedding(19, 14)
    ours, theirs = (
        library.InputModalityWithEmbedding("text", 1, 1, 3, 4.0, embedding=embedding)
        for library in (our_names(), release_names())
    )
    ids = torch.randint(19, (2, 5, 1))
    embedded = ours.maybe_embed(ids)
    assert torch.equal(embedded, theirs.maybe_embed(ids))
    for depth in (1, 2, 3, 14):
        assert ours.embedding_dim(depth) == theirs.embedding_dim(depth)
        for layer in range(depth):
            got, expected = (m.embedding_for_layer(embedded, layer, depth) for m in (ours, theirs))
            assert torch.equal(got, expected)


def test_an_embedding_may_be_seen_whole() -> None:
    modality = text(14, split_embedding=False)
    embedded = modality.maybe_embed(torch.randint(19, (2, 5)))
    assert modality.channels_in_layer(3) == 14
    assert modality.embedding_for_layer(embedded, 2, 3) is embedded


@pytest.mark.parametrize("axes", [(5,), (3, 4), (2, 3, 4)])
def test_the_code_of_a_modality_is_the_releases(axes: tuple[int, ...]) -> None:
    for index in range(3):
        got = modality_encoding(2, axes, index, 3)
        assert torch.equal(got, release_names().modality_encoding(2, axes, index, 3))
    assert modality_encoding(2, (100, 100), 0, 3).untyped_storage().nbytes() <= 9 * 4


@pytest.mark.parametrize(
    "modality",
    [image(), audio(scale=0.5, offset=-1), image(scale=(1, 2, 3), offset=[0.5, 0, 1]), text(14, split_embedding=False)],
    ids=["plain", "scaled", "scaled per channel", "text"],
)
def test_a_modality_comes_back_from_its_configuration(modality: P.InputModality) -> None:
    again = modality_from_config(json.loads(json.dumps(modality.to_config())))
    assert type(again) is type(modality)
    for field in dataclasses.fields(modality):
        if field.name != "embedding":
            assert getattr(again, field.name) == getattr(modality, field.name)
    if isinstance(modality, P.InputModalityWithEmbedding):
        assert again.embedding.weight.shape == modality.embedding.weight.shape
        assert again.embedding.weight is not modality.embedding.weight


def test_an_embeddings_padding_index_is_kept() -> None:
    modality = P.InputModalityWithEmbedding("text", 1, 1, 3, 4.0, embedding=nn.Embedding(9, 4, padding_idx=2))
    assert modality_from_config(modality.to_config()).embedding.padding_idx == 2


def test_a_modality_passes_through_and_one_without_an_embedding_keeps_its_kind() -> None:
    modality = image()
    assert modality_from_config(modality) is modality
    bare = P.InputModalityWithEmbedding("x", 1, 1, 3, 4.0)
    assert isinstance(modality_from_config(bare.to_config()), P.InputModalityWithEmbedding)


@pytest.mark.usefixtures("user_view")
def test_unknown_configurations_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a modality has no 'bands'; it has name"):
        modality_from_config({"name": "x", "bands": 3})
    with pytest.raises(TypeError, match="an InputModality or a mapping of its fields, got int"):
        modality_from_config(3)
    with pytest.raises(ValueError, match="an embedding has no 'size'"):
        modality_from_config({**text().to_config(), "embedding": {"size": 3}})


def test_a_context_has_the_parts_of_the_modality() -> None:
    modality, data = image(scale=2, offset=(0, 1, 2)), torch.randint(256, (2, 5, 4, 3), dtype=torch.uint8)
    mask, code = torch.rand(2, 5, 4) > 0.5, torch.tensor([0.0, 1.0])
    context = make_context(modality, data, width=25, code=code, freq_scale="log", mask=mask)
    assert context.data is data
    assert context.mask is mask
    assert context.code is code
    assert context.num_channels == 25
    assert torch.equal(context.scale, torch.tensor([2.0, 2.0, 2.0]))
    assert torch.equal(context.offset, torch.tensor([0.0, 1.0, 2.0]))
    for table, length in zip(context.tables, (5, 4), strict=True):
        assert torch.equal(table, position_table(length, 6.0, 3))
    assert modality.position_dim == 14


def test_scale_and_offset_that_change_nothing_are_left_out() -> None:
    assert image().affine(torch.device("cpu")) == (None, None)
    assert image(scale=(1, 1, 1), offset=(0.0, 0, 0)).affine(torch.device("cpu")) == (None, None)
    scale, offset = image(scale=3).affine(torch.device("cpu"))
    assert torch.equal(scale, torch.full((3,), 3.0))
    assert offset is None


def test_ids_outside_the_embedding_are_found() -> None:
    modality = text()
    for wrong in (-1, 19):
        with pytest.raises(ValueError, match=f"token id {wrong} at sample 1, position 2 is outside the embedding"):
            modality.maybe_embed(torch.tensor([[0, 1, 2], [3, 4, wrong]]))
    assert modality.maybe_embed(torch.tensor([[0, 18]])).shape == (1, 2, 12)
