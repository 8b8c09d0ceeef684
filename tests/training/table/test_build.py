import numpy as np
import pytest
import torch

from perceiver_pytorch.data import ClassTarget, InputSpec, TableDataset, collate, load_table, recognise_columns
from perceiver_pytorch.training.table.build import build_model, model_name, run_model
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
