"""Fine-tuning of checkpoints in transformers' format: the published reader and encoder stay, heads are new."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from perceiver_pytorch.data import InputSpec, TableDataset, collate, load_table, recognise_columns
from perceiver_pytorch.interop.huggingface import load, state_dict_of
from perceiver_pytorch.interop.model import PublishedPerceiver
from perceiver_pytorch.training.build import run_model
from perceiver_pytorch.training.config import ModelConfig, StartConfig
from perceiver_pytorch.training.finetune import load_source, start_from
from perceiver_pytorch.training.fit import fit
from perceiver_pytorch.training.reporter import Reporter
from perceiver_pytorch.training.run_folder import RunFolder
from training_helpers import tiny_config, write_mixed_table

SIZES = {
    "num_latents": 4,
    "d_latents": 16,
    "d_model": 48,
    "num_self_attends_per_block": 2,
    "num_self_attention_heads": 2,
    "num_cross_attention_heads": 2,
    "max_position_embeddings": 66,
    "image_size": 6,
    "num_labels": 3,
}
CLASSES = {
    "masked-lm": "PerceiverForMaskedLM",
    "text-classification": "PerceiverForSequenceClassification",
    "image-fourier": "PerceiverForImageClassificationFourier",
    "image-learned": "PerceiverForImageClassificationLearned",
    "image-conv": "PerceiverForImageClassificationConvProcessing",
    "optical-flow": "PerceiverForOpticalFlow",
}


def checkpoint(folder, task):
    """A folder in transformers' format with random weights."""
    torch.manual_seed(0)
    model = PublishedPerceiver(task, {**SIZES, "num_cross_attention_heads": 1} if task.startswith("image") else SIZES)
    folder.mkdir()
    config = {"model_type": "perceiver", "architectures": [CLASSES[task]], **SIZES}
    config["id2label"] = {str(i): f"LABEL_{i}" for i in range(3)}
    config["num_cross_attention_heads"] = model.config.num_cross_attention_heads
    (folder / "config.json").write_text(json.dumps(config))
    save_file(
        {name: weight.contiguous() for name, weight in state_dict_of(model).items()}, folder / "model.safetensors"
    )
    return folder


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_mixed_table(tmp_path_factory.mktemp("mixed"))


@pytest.fixture(scope="module")
def spec(table):
    loaded = load_table(table)
    kinds = recognise_columns(loaded, target="label", split="split", overrides={"note": "text"})
    return InputSpec.fit(loaded, kinds, target="label", rows=torch.arange(48).numpy())


def first_batch(table, spec, name, count=6):
    """Rows that have a modality, with nothing else."""
    dataset = TableDataset(load_table(table), torch.arange(48).numpy(), spec)
    samples = [sample for sample in map(dataset.__getitem__, range(48)) if sample.inputs[name] is not None][:count]
    batch = collate(samples, spec)
    return dataclasses.replace(batch, inputs={name: batch.inputs[name]}, masks={}, coordinates={}), samples


def started(folder, spec):
    model, lines = start_from(
        load_source(str(folder)), spec, ModelConfig(embedding_dim=8, num_freq_bands=2), StartConfig()
    )
    return model.eval(), lines


@pytest.mark.parametrize("task", ["image-fourier", "image-learned", "image-conv"])
def test_images_are_read_as_the_published_model_reads_them(table, spec, tmp_path, task):
    if task == "image-conv":
        spec = bigger(spec)
    model, _ = started(checkpoint(tmp_path / "published", task), spec)
    published = load(tmp_path / "published")
    batch, samples = first_batch(table, spec, "picture")
    if task != "image-conv":  # that one reads larger pictures
        images = [np.array(Image.open(table.parent / f"{sample.row}.png").convert("RGB")) for sample in samples]
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        pixels = (torch.from_numpy(np.stack(images)) / 255 - mean) / std
        expected = published.encoder(published.contexts(pixels.permute(0, 3, 1, 2)))
        read = model.reader(*model._image(batch.inputs["picture"], None), **model._options())
        torch.testing.assert_close(model.encoder(read), expected)
    (values,) = run_model(model, batch, spec.targets).values()
    assert values.shape == (6, 2)


def bigger(spec):
    """Pictures of 36 x 36 pixels, of which a convolution leaves something."""
    modalities = [dataclasses.replace(m, height=36, width=36) if m.name == "picture" else m for m in spec.modalities]
    return dataclasses.replace(spec, modalities=tuple(modalities))


@pytest.mark.parametrize("task", ["masked-lm", "text-classification"])
def test_texts_are_read_as_the_published_model_reads_them(table, spec, tmp_path, task):
    model, lines = started(checkpoint(tmp_path / "published", task), spec)
    published = load(tmp_path / "published")
    dataset = TableDataset(load_table(table), torch.arange(48).numpy(), spec)
    samples = [sample for sample in map(dataset.__getitem__, range(48)) if sample.inputs["note"] is not None][:5]
    batch = collate(samples, spec)
    framed, mask = model._text(batch.inputs["note"], batch.masks.get("note"))
    for i, sample in enumerate(samples):
        text = dataset.table.row(sample.row)["note"].encode()
        ids = [4, *(byte + 6 for byte in text), 5]
        assert framed[i, : len(ids)].tolist() == ids
        assert mask[i].sum() == len(ids)
        expected = published.encoder(published.contexts(torch.tensor([ids])))
        torch.testing.assert_close(model.encoder(model.reader(framed[i : i + 1], mask[i : i + 1])), expected)
    encoder = sum(p.numel() for p in published.encoder.parameters())
    taken = int(lines[0].split(": ")[1].split(" of ")[0].replace(",", ""))
    assert taken >= encoder + published.reader.embedding.weight.numel()
    assert "  note: taken over" in lines
    assert "  numbers: fresh" in lines


def test_a_run_from_a_published_checkpoint_predicts_again_without_it(table, tmp_path):
    folder = checkpoint(tmp_path / "published", "text-classification")
    config = tiny_config(table, epochs=1)
    config = dataclasses.replace(config, start=StartConfig(checkpoint=str(folder), freeze=["latents"], lora=2))
    run, said = RunFolder.create(tmp_path / "run"), []
    outcome = fit(config, run, reporter=Reporter(say=said.append, warn=said.append))
    model = run.model()
    assert outcome.metrics["rows"] == 8
    assert torch.equal(model.encoder.latents, load(folder).encoder.latents)
    assert not any("lora" in name for name in model.state_dict())
    assert any("LoRA adapters" in line for line in said)


def test_what_cannot_be_fine_tuned_is_named(table, spec, tmp_path):
    flow = checkpoint(tmp_path / "flow", "optical-flow")
    with pytest.raises(ValueError, match="a model of optical-flow cannot be fine-tuned on a table"):
        started(flow, spec)
    text = checkpoint(tmp_path / "text", "masked-lm")
    without = dataclasses.replace(spec, modalities=tuple(m for m in spec.modalities if m.kind != "text"))
    with pytest.raises(ValueError, match="this model reads text, but the table has no column of text"):
        started(text, without)
    long = dataclasses.replace(spec.modality("note"), length=80)
    others = tuple(m for m in spec.modalities if m.kind != "text")
    with pytest.raises(ValueError, match=r"it reads 64 bytes of text; use --set data\.max_text_bytes=64"):
        started(text, dataclasses.replace(spec, modalities=(*others, long)))
