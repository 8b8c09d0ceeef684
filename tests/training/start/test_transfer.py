"""Weights of one model as those of another: by the channels that they read."""

import pytest
import torch
from torch import nn

from perceiver_pytorch import (
    InputModality,
    InputModalityWithEmbedding,
    LearnedQueries,
    MultiModalityWithTextPerceiver,
    Output,
    Perceiver,
    PerceiverIO,
)
from perceiver_pytorch.nn.stems import NumbersStem, PatchStem, WordStem
from perceiver_pytorch.training.start.transfer import (
    Transfer,
    _channel_map,
    _copy,
    _names_of_layers,
    _row_map,
    count_parameters,
    match_modalities,
    move_weights,
)

SIZES = {"depth": 2, "num_latents": 4, "latent_dim": 16, "latent_heads": 2, "latent_dim_head": 8, "num_classes": 3}


def small(*modalities, **sizes):
    torch.manual_seed(len(modalities))
    return MultiModalityWithTextPerceiver(modalities=modalities, **{**SIZES, **sizes})


def image(channels=3, name="image"):
    return InputModality(name, channels, 2, num_freq_bands=2, max_freq=4.0)


def numbers(columns):
    return InputModality("numbers", 3, 1, num_freq_bands=2, max_freq=4.0, stem=NumbersStem(columns, 3, channels=5))


def text(name="text", rows=9):
    return InputModalityWithEmbedding(
        name, 1, 1, num_freq_bands=2, max_freq=4.0, embedding=nn.Embedding(rows, 5), split_embedding=False
    )


def test_weights_of_columns_are_moved_by_what_the_columns_are():
    old, new = small(image(), numbers(2)), small(numbers(3))
    fresh = new.stems["numbers"].weight.detach().clone()
    moved = move_weights(new, old, {"numbers": "numbers"}, {"numbers": torch.tensor([1, -1, 0])})
    before, after = old.stems["numbers"].weight, new.stems["numbers"].weight
    assert torch.equal(after[0], before[1])
    assert torch.equal(after[1], fresh[1])
    assert torch.equal(after[2], before[0])
    assert moved.taken["stems.numbers.weight"] == before.numel()


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


def words(name="text", rows=9):
    stem = WordStem(rows, 4, shared=True)
    return InputModality(name, 3, 1, num_freq_bands=2, max_freq=4.0, stem=stem)


def test_rows_of_a_table_of_words_follow_the_words():
    old, new = small(words(rows=3)), small(words(rows=4))
    result = move_weights(new, old, {"text": "text"}, {"text": torch.tensor([0, 2, -1, 1])})
    before, after = old.stems["text"], new.stems["text"]
    assert torch.equal(after.table.weight[[0, 1, 3]], before.table.weight[[0, 2, 1]])
    assert torch.equal(after.neighbours.weight, before.neighbours.weight)
    assert "stems.text.table.weight" in result.fresh
    assert "stems.text.norm.weight" not in result.fresh


def test_a_shared_table_is_taken_from_any_column_that_is_found():
    old, new = small(words("note")), small(words("a_new_one"), words("note"))
    rows = {name: torch.arange(9).flip(0) for name in ("a_new_one", "note")}
    result = move_weights(new, old, {"note": "note"}, rows)
    assert torch.equal(new.stems["a_new_one"].table.weight, old.stems["note"].table.weight.flip(0))
    assert "stems.a_new_one.neighbours.weight" in result.fresh


def test_a_modality_that_another_stem_reads_is_another_one():
    patch = InputModality("text", 3, 1, num_freq_bands=2, max_freq=4.0, stem=PatchStem(3, (1,), 4))
    old = small(words())
    assert match_modalities(small(patch).modalities, old.modalities) == {}
    assert match_modalities(small(words()).modalities, old.modalities) == {"text": "text"}


def test_a_name_matches_if_axes_and_embedding_do_and_a_renamed_one_if_all_does():
    sound = InputModality("image", 3, 1, num_freq_bands=2, max_freq=4.0)
    old = {"image": image(3), "text": text(rows=9)}
    assert match_modalities({"image": image(7)}, old) == {"image": "image"}  # of more channels
    assert match_modalities({"image": sound}, old) == {}  # of other axes
    assert match_modalities({"image": text("image")}, {"image": sound}) == {}  # ids of as many axes
    assert match_modalities({"in_image": image(7, "in_image")}, old) == {"in_image": "image"}  # the column `image`
    assert match_modalities({"note": text("note", 9)}, old) == {"note": "text"}
    assert match_modalities({"note": text("note", 8)}, old) == {}
    assert match_modalities({"a": image(3, "a"), "b": image(3, "b")}, old) == {}  # which of them is not known
    assert match_modalities({"a": image(3, "a")}, {"b": image(3, "b"), "c": image(3, "c")}) == {}
    both = match_modalities({"image": image(3), "map": image(3, "map")}, old)
    assert both == {"image": "image"}  # it is taken already


def test_layers_of_a_perceiver_have_the_names_of_the_other_models():
    weights = {f"layers.1.{part}.fn.weight": part for part in range(6)} | {"latents": 9, "layers.12.3.x": 8}
    assert _names_of_layers(weights) == {
        "layers.1.0.fn.weight": 0,
        "layers.1.1.fn.weight": 1,
        "layers.1.2.latent_blocks.0.0.fn.weight": 2,
        "layers.1.2.latent_blocks.0.1.fn.weight": 3,
        "layers.1.2.latent_blocks.1.0.fn.weight": 4,
        "layers.1.2.latent_blocks.1.1.fn.weight": 5,
        "latents": 9,
        "layers.12.2.latent_blocks.0.1.x": 8,
    }


def test_of_a_perceiver_all_but_what_reads_and_answers_is_taken():
    old = Perceiver(num_freq_bands=2, max_freq=4.0, input_channels=3, depth=2, num_latents=4, latent_dim=16,
                    latent_heads=2, latent_dim_head=8, num_classes=3)  # fmt: skip
    new = small(image(3), num_latent_blocks_per_layer=1)
    result = move_weights(new, old, match_modalities(new.modalities, old.modalities))
    assert {name for name in result.fresh if not name.startswith("to_logits.")} <= {
        f"layers.{i}.0.{part}"
        for i in range(2)
        for part in ("norm_context.weight", "norm_context.bias", "fn.to_kv.weight")
    }
    assert torch.equal(new.latents, old.latents)
    name = "layers.1.2.latent_blocks.0.1.fn.net.0.weight"
    assert torch.equal(new.state_dict()[name], _names_of_layers(old.state_dict())[name])


@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize(("size", "before", "taken"), [(3, 5, 3), (5, 3, 3), (4, 4, 4)])
def test_as_much_is_copied_as_both_have(columns, size, before, taken):
    shapes = [(2, size), (2, before)] if columns else [(size, 2), (before, 2)]
    weight, source, result = torch.zeros(shapes[0]), torch.randn(shapes[1]), Transfer()
    _copy("w", weight, source, None, columns=columns, result=result)
    part = (slice(None), slice(taken)) if columns else (slice(taken), slice(None))
    assert torch.equal(weight[part], source[part])
    assert (weight != 0).sum() == 2 * taken == result.taken["w"]
    assert result.fresh == ({"w"} if taken < size else set())


def test_what_has_no_counterpart_is_fresh():
    result = Transfer()
    _copy("none", torch.zeros(2), None, None, columns=False, result=result)
    _copy("other", torch.zeros(2, 3), torch.ones(2, 4), None, columns=False, result=result)
    _copy("deep", torch.zeros(2, 3), torch.ones(4, 3), None, columns=True, result=result)
    assert (result.taken, result.fresh) == ({}, {"none", "other", "deep"})
    weight = torch.zeros(3)
    _copy("some", weight, torch.tensor([5.0, 7.0]), torch.tensor([1, -1, 0]), columns=False, result=result)
    assert (weight.tolist(), result.taken) == ([7.0, 0.0, 5.0], {"some": 2})


def test_codes_are_moved_if_both_models_have_the_same_sort():
    plain, coded, wider = (small(image(3), text(), modality_code_dim=dim) for dim in (None, 3, 4))
    both = {"image": "image", "text": "text"}
    size = plain.max_modality_dim - 2
    assert _channel_map(plain, plain, both).tolist() == list(range(size + 2))
    assert _channel_map(coded, coded, both).tolist() == list(range(size + 3))
    for new, old, codes in ((coded, plain, 3), (plain, coded, 2), (wider, coded, 4)):
        assert _channel_map(new, old, both).tolist() == [*range(size), *[-1] * codes]
    assert _row_map(coded, coded, {"text": "text"}).tolist() == [-1, 1]
    assert _channel_map(plain, plain, {"text": "text"}).tolist() == [*range(size), -1, size + 1]
    new, old = small(image(3), text(), modality_code_dim=3), small(image(3, "photo"), text(), modality_code_dim=3)
    move_weights(new, old, {"image": "photo", "text": "text"})
    assert torch.equal(new.modality_codes[0], old.modality_codes[0])
    assert torch.equal(new.modality_codes[1], old.modality_codes[1])


def test_where_tokens_are_narrower_data_goes_before_positions():
    old, new = small(image(7)), small(image(4))
    found = _channel_map(new, old, {"image": "image"})
    # Seven channels, ten of two axes' positions and a code become four, ten and a code.
    assert found.tolist() == [0, 1, 2, 3, *range(7, 17), 17]
    wide = _channel_map(old, new, {"image": "image"})
    assert wide.tolist() == [0, 1, 2, 3, -1, -1, -1, *range(4, 14), 14]


def test_weights_over_tokens_of_attention_blocks_are_moved_too():
    def io(channels, **outputs):
        torch.manual_seed(channels)
        return PerceiverIO(modalities=[image(channels)], depth=1, num_latents=4, latent_dim=16, latent_heads=2,
                           num_latent_blocks_per_layer=1, **outputs)  # fmt: skip

    new, old = io(7), io(3, outputs=[Output("class", LearnedQueries(8), 5)])
    result = move_weights(new, old, {"image": "image"})
    part = next(name for name in result.fresh if name.endswith("to_k.weight"))
    before, after = old.get_parameter(part), new.get_parameter(part)
    assert torch.equal(after[:, :3], before[:, :3])
    assert torch.equal(after[:, 7:], before[:, 3:])
    assert result.fresh <= result.taken.keys()
    assert {name.partition("cross_attend.")[2] for name in result.fresh} == {
        "norm_context.weight",
        "norm_context.bias",
        "to_k.weight",
        "to_v.weight",
    }


def test_parameters_are_counted_whole_and_frozen():
    model = nn.Linear(3, 4)
    assert (count_parameters(model), count_parameters(model, frozen=True)) == (16, 0)
    model.bias.requires_grad_(False)
    assert (count_parameters(model), count_parameters(model, frozen=True)) == (16, 4)
