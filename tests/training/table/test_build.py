import dataclasses

import numpy as np
import pytest
import torch

from perceiver_pytorch.data import (
    ClassTarget,
    InputSpec,
    TableDataset,
    TextSpec,
    collate,
    load_table,
    recognise_columns,
)
from perceiver_pytorch.training.table.build import (
    build_model,
    check_fits,
    model_name,
    run_model,
    table_modality,
    token_shapes,
    with_heads,
)
from perceiver_pytorch.training.table.evaluation import predict
from training_helpers import tiny_config, write_mixed_table


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    table = load_table(write_mixed_table(tmp_path_factory.mktemp("mixed")))
    kinds = recognise_columns(table, target="label", split="split", overrides={"note": "text"})
    spec = InputSpec.fit(table, kinds, target="label", rows=np.arange(len(table)))
    return TableDataset(table, np.arange(len(table)), spec)


def output(model, batch):
    (values,) = run_model(model, batch, [ClassTarget("label", ("dark", "light"), (1, 1))]).values()
    return values


@pytest.mark.parametrize("split_embedding", [False, True])
def test_a_model_takes_its_tables_batches(dataset, split_embedding):
    config = tiny_config("unused").model
    config = type(config)(**{**vars(config), "split_embedding": split_embedding})
    model = build_model(dataset.spec, config)
    batch = collate([dataset[i] for i in range(9)], dataset.spec)
    assert {"picture", "sound", "note", "numbers", "categories"} == set(batch.inputs)
    assert output(model, batch).shape == (9, 2)


def test_a_row_without_a_modality_equals_a_forward_without_it(dataset):
    model = build_model(dataset.spec, tiny_config("unused").model).eval()
    samples = [dataset[i] for i in range(len(dataset))]
    lacking = [sample for sample in samples if sample.inputs["picture"] is None]
    batch = collate(lacking, dataset.spec)
    whole = output(model, batch)
    del batch.inputs["picture"], batch.masks["picture"], batch.coordinates["picture"]
    torch.testing.assert_close(output(model, batch), whole)


def test_a_rows_result_does_not_depend_on_its_batch(dataset):
    model = build_model(dataset.spec, tiny_config("unused").model).eval()
    samples = [dataset[i] for i in range(12)]
    whole = output(model, collate(samples, dataset.spec))
    for sample, expected in zip(samples, whole, strict=True):
        torch.testing.assert_close(output(model, collate([sample], dataset.spec))[0], expected)


def test_leaving_a_modality_out_is_the_same_as_not_having_it(dataset):
    model = build_model(dataset.spec, tiny_config("unused").model).eval()
    left_out = predict(model, dataset, left_out=["sound"], batch_size=7).outputs["label"]
    batch = collate([dataset[i] for i in range(len(dataset))], dataset.spec)
    for part in (batch.inputs, batch.masks, batch.coordinates):
        part.pop("sound", None)
    with torch.no_grad():
        expected = output(model, batch)
    torch.testing.assert_close(left_out, expected)


@pytest.mark.parametrize("column", ["a.b", "type", "keys", "größe", "a b", "_", "data"])
def test_any_column_name_becomes_a_modality_name(column):
    name = model_name(column)
    assert "." not in name
    torch.nn.ModuleDict({name: torch.nn.Identity()})


def test_different_columns_keep_different_names():
    assert len({model_name(name) for name in ("a.b", "a b", "a_b", "a-b")}) == 4


def test_other_letters_are_written_as_their_numbers():
    assert model_name("a.b c_9Z") == "in_a_2e_b_20_c_9Z"
    assert model_name("ö") == "in__f6_"


def test_tokens_are_all_axes_but_the_channels(dataset):
    batch = collate([dataset[i] for i in range(9)], dataset.spec)
    shapes = token_shapes(batch)
    assert shapes["categories"] == batch.inputs["categories"].shape
    assert shapes["note"] == batch.inputs["note"].shape[:-1]
    assert shapes["picture"] == batch.inputs["picture"].shape[:-1]
    assert shapes["numbers"] == batch.inputs["numbers"].shape[:-1]


def test_a_modality_of_ids_has_an_embedding_and_another_has_none(dataset):
    sizes = dataclasses.replace(tiny_config("unused").model, depth=3, embedding_dim=8, num_freq_bands=4)
    specs = {modality.name: modality for modality in dataset.spec.modalities}
    split = dataclasses.replace(sizes, split_embedding=True)
    note = TextSpec("note", 8)
    read = note.model_input()
    for config, width in ((sizes, 8), (split, 24)):
        text = table_modality(note, config)
        assert text.embedding.weight.shape == (read.vocab_size, width)
        assert (text.input_channels, text.input_axis, text.split_embedding) == (1, 1, width == 24)
    for name in specs:
        read, made = specs[name].model_input(), table_modality(specs[name], sizes)
        assert made.name == model_name(name)
        assert made.input_axis == read.num_axes
        assert made.num_freq_bands == min(4, int(read.resolution) // 2)
        assert made.max_freq == max(2.0, read.resolution)
        if not read.vocab_size:
            assert (made.input_channels, made.scale, made.offset) == (read.channels, read.scale, read.offset)
            assert list(made.coordinates_per_axis or ()) == list(read.coordinates_per_axis)


def test_a_saved_model_must_fit_what_is_read_and_asked(dataset):
    spec, config = dataset.spec, tiny_config("unused").model
    model = build_model(spec, config)
    check_fits(spec, model)
    assert model.recorded_config["num_classes"] == 2
    with pytest.raises(ValueError, match=r"the model \(in_picture, .*\), got in_sound, in_note, in_numbers, in_"):
        check_fits(dataclasses.replace(spec, modalities=spec.modalities[1:]), model)
    other = ClassTarget("label", ("dark", "light", "grey"), (1, 1, 1))
    with pytest.raises(ValueError, match=r"targets must be \{'label': 2\} as in the model, got \{'label': 3\}"):
        check_fits(dataclasses.replace(spec, targets=(other,)), model)
    numbers = next(modality for modality in spec.modalities if modality.name == "numbers")
    model.modalities["in_numbers"].input_channels += 1
    channels = numbers.model_input().channels
    wrong = rf"ids of 'numbers' must be \(1, {channels + 1}, 0\) as in the model, got \(1, {channels}, 0\)"
    with pytest.raises(ValueError, match=wrong):
        check_fits(spec, model)
    model.modalities["in_numbers"].input_channels -= 1
    model.modalities["in_note"].coordinates_per_axis = 3
    with pytest.raises(ValueError, match=r"coordinates per axis of 'note' must be \(3,\) as in the model, got \(1,\)"):
        check_fits(spec, model)
    several = dataclasses.replace(spec, targets=(*spec.targets, dataclasses.replace(other, name="tone")))
    both = build_model(several, config)
    check_fits(several, both)
    assert both.tasks == {"label": 2, "tone": 3}
    batch = collate([dataset[i] for i in range(3)], spec)
    assert {name: values.shape for name, values in run_model(both, batch, several.targets).items()} == {
        "label": (3, 2),
        "tone": (3, 3),
    }


def test_without_columns_there_is_no_joint_head(dataset):
    media = [modality for modality in dataset.spec.modalities if modality.head != "columns"]
    spec = dataclasses.replace(dataset.spec, modalities=media)
    model = with_heads(build_model(spec, tiny_config("unused").model), spec)
    assert len(model.heads) > 1
    assert model.joint is None


def test_a_joint_head_reads_what_all_heads_read(dataset):
    trunk = build_model(dataset.spec, tiny_config("unused").model)
    read = [[*reading.modalities] for reading in with_heads(trunk, dataset.spec, joint=False).readings]
    model = with_heads(trunk, dataset.spec)
    assert [[*reading.modalities] for reading in model.readings[:-1]] == read
    assert {*model.readings[-1].modalities} == {name for each in read for name in each}
    assert model.joint == len(read)
    lengths = dict(zip(model.readings[-1].modalities, model.readings[-1].lengths, strict=True))
    assert lengths["in_numbers"] == lengths["in_categories"] == 1
    assert lengths["in_note"] is None
    assert output(model.eval(), collate([dataset[i] for i in range(9)], dataset.spec)).shape == (9, 2)


@pytest.mark.parametrize(("rule", "width"), [("chunks", 3 * 64), ("shared", 4 * 32), ("permuted", 3 * 64)])
def test_vectors_of_words_are_split_over_the_layers_as_embeddings_are(dataset, rule, width):
    (note,) = (modality for modality in dataset.spec.modalities if modality.name == "note")
    sizes = dataclasses.replace(tiny_config("unused").model, depth=3, split_embedding=True, split_rule=rule)
    words = table_modality(note, sizes)
    assert (words.data_channels, words.channels_in_layer(3)) == (width, 64)
    before = table_modality(note, dataclasses.replace(sizes, split_words=False))
    assert (before.data_channels, before.channels_in_layer(3)) == (64, 64)
    narrow = table_modality(note, dataclasses.replace(sizes, word_dim=10))
    assert narrow.channels_in_layer(3) == 10
    batch = collate([dataset[i] for i in range(9)], dataset.spec)
    assert output(build_model(dataset.spec, sizes), batch).shape == (9, 2)
