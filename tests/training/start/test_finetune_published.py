"""Fine-tuning of checkpoints in transformers' format: the published reader and encoder stay, heads are new."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from einops import rearrange
from PIL import Image
from safetensors.torch import save_file

from data_helpers import video
from perceiver_pytorch.data import (
    AudioSpec,
    ClassTarget,
    ImageSpec,
    InputSpec,
    SpecOptions,
    TableDataset,
    TextSpec,
    VideoSpec,
    collate,
    load_table,
    recognise_columns,
)
from perceiver_pytorch.interop.flow import frame_patches
from perceiver_pytorch.interop.huggingface import load, state_dict_of
from perceiver_pytorch.interop.published_perceiver import PublishedPerceiver
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.start import published_inputs
from perceiver_pytorch.training.start.finetune import load_source, start_from
from perceiver_pytorch.training.start.published_inputs import adopt_rates, columns_read, published_contexts
from perceiver_pytorch.training.table.build import run_model
from perceiver_pytorch.training.table.run import TableRun
from perceiver_pytorch.training.table.settings import ModelConfig, StartConfig
from training_helpers import fit, tiny_config, write_mixed_table

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
    "multimodal-autoencoding": "PerceiverForMultimodalAutoencoding",
}
CLIP = {
    "image_size": 16,
    "num_frames": 3,
    "audio_samples_per_frame": 32,
    "samples_per_patch": 4,
    "output_shape": (1, 3, 16, 16),
    "output_num_channels": 6,
    "label_channels": 12,
}


def checkpoint(folder, task):
    """A folder in transformers' format with random weights."""
    torch.manual_seed(0)
    sizes = SIZES | ({} if "text" in task or task == "masked-lm" else {"num_cross_attention_heads": 1})
    sizes |= {"multimodal-autoencoding": CLIP, "optical-flow": {"train_size": (5, 7)}}.get(task, {})
    model = PublishedPerceiver(task, sizes)
    folder.mkdir()
    config = {"model_type": "perceiver", "architectures": [CLASSES[task]], **sizes}
    config["_label_trainable_num_channels"] = config.pop("label_channels", 1024)
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
    narrow = {"image_stem": "none", "audio_stem": "none", "audio_features": "raw"}
    options = SpecOptions(text_units="bytes", **narrow)  # as a run from a published model has it
    return InputSpec.fit(loaded, kinds, target="label", rows=torch.arange(48).numpy(), options=options)


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
        torch.testing.assert_close(model.encoder(read(model, {"in_picture": batch.inputs["picture"]})), expected)
    (values,) = run_model(model, batch, spec.targets).values()
    assert values.shape == (6, 2)


def spec_of(*modalities):
    return InputSpec((ClassTarget("label", ("a", "b"), (3, 3)),), modalities, {})


def read(model, data, masks=None):
    return published_contexts(model.task, model.reader, model.reads, data, masks or {})


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
    masks = {f"in_{name}": mask for name, mask in batch.masks.items()}
    latents = model.encoder(read(model, {"in_note": batch.inputs["note"]}, masks))
    for i, sample in enumerate(samples):
        text = dataset.table.row(sample.row)["note"].encode()
        ids = [4, *(byte + 6 for byte in text), 5]
        expected = published.encoder(published.contexts(torch.tensor([ids])))
        torch.testing.assert_close(latents[i : i + 1], expected)
    encoder = sum(p.numel() for p in published.encoder.parameters())
    taken = int(lines[0].split(": ")[1].split(" of ")[0].replace(",", ""))
    assert taken >= encoder + published.reader.embedding.weight.numel()
    assert "  note: taken over" in lines
    assert "  numbers: fresh" in lines


def test_a_run_from_a_published_checkpoint_predicts_again_without_it(table, tmp_path):
    folder = checkpoint(tmp_path / "published", "text-classification")
    config = tiny_config(table, epochs=1)
    narrow = dataclasses.replace(config.data, image_stem="none", audio_stem="none", audio_features="raw")
    start = StartConfig(checkpoint=str(folder), freeze=["latents"], lora=2)
    config = dataclasses.replace(config, data=narrow, start=start)
    run, said = TableRun.create(tmp_path / "run"), []
    outcome = fit(config, run, reporter=Reporter(say=said.append, warn=said.append))
    model = run.model()
    assert outcome.metrics["rows"] == 8
    assert torch.equal(model.encoder.latents, load(folder).encoder.latents)
    assert not any("lora" in name for name in model.state_dict())
    assert any("LoRA adapters" in line for line in said)


def test_what_cannot_be_fine_tuned_is_named(table, spec, tmp_path):
    flow = checkpoint(tmp_path / "flow", "optical-flow")
    with pytest.raises(ValueError, match="reads two frames, so the table needs two columns of images, got 1"):
        started(flow, spec)
    clip = checkpoint(tmp_path / "clip", "multimodal-autoencoding")
    notes = dataclasses.replace(spec, modalities=(spec.modality("note"),))
    with pytest.raises(ValueError, match="reads video and sound, but the table has no column of videos"):
        started(clip, notes)
    other = dataclasses.replace(spec.modality("picture"), name="other", height=3)
    with pytest.raises(ValueError, match="both frames must have one size, but picture has 6x6 and other 3x6"):
        started(flow, dataclasses.replace(spec, modalities=(spec.modality("picture"), other)))
    text = checkpoint(tmp_path / "text", "masked-lm")
    without = dataclasses.replace(spec, modalities=tuple(m for m in spec.modalities if m.kind != "text"))
    with pytest.raises(ValueError, match="this model reads text, but the table has no column of text"):
        started(text, without)
    long = dataclasses.replace(spec.modality("note"), length=80)
    others = tuple(m for m in spec.modalities if m.kind != "text")
    with pytest.raises(ValueError, match=r"it reads 64 bytes of text; use --set data\.max_text_bytes=64"):
        started(text, dataclasses.replace(spec, modalities=(*others, long)))


@pytest.mark.parametrize("patch", [1, 2, 4, 8])
@pytest.mark.parametrize("samples", [2, 4, 24])
def test_clips_are_read_as_the_published_model_reads_them_however_the_table_cuts_them(tmp_path, patch, samples):
    published = load(checkpoint(tmp_path / "published", "multimodal-autoencoding"))
    frames, sound = torch.randint(256, (2, 3, 16, 16, 3), dtype=torch.uint8), torch.rand(2, 96, 2) * 2 - 1
    clip = {"image": frames.movedim(-1, 2) / 255, "audio": sound.mean(-1, keepdim=True), "label": torch.zeros(2, 3)}
    spec = spec_of(
        VideoSpec("clip", 25.0, 3, 16, 16, patch), AudioSpec("sound", 800, 96, samples, mean=0.1, std=0.5, sides=2)
    )
    model, lines = started(tmp_path / "published", spec)
    cut = "b t (h p) (w q) c -> b t h w (p q c)"
    data = {
        "in_clip": rearrange(frames, cut, p=patch, q=patch),
        "in_sound": ((sound - 0.1) / 0.5).reshape(2, -1, samples * 2),
    }
    latents = model.encoder(read(model, data))
    torch.testing.assert_close(latents, published.encoder(published.contexts(clip)))
    assert [line for line in lines if "taken over" in line][1:] == ["  clip: taken over", "  sound: taken over"]

    # A shorter clip, and one without sound: what is missing has no influence.
    masks = {"in_clip": torch.ones(data["in_clip"].shape[:-1], dtype=torch.bool)}
    masks["in_clip"][:, 2] = False
    masks["in_sound"] = torch.tensor([[True], [False]]).expand(data["in_sound"].shape[:2])
    expected = model.encoder(read(model, data, masks))
    data["in_clip"][:, 2], data["in_sound"][1] = 7, 9.0
    torch.testing.assert_close(model.encoder(read(model, data, masks)), expected)
    cut_off = data | {"in_clip": data["in_clip"][:, :2]}
    torch.testing.assert_close(
        model.encoder(read(model, cut_off, masks | {"in_clip": masks["in_clip"][:, :2]})), expected
    )


def test_two_images_are_read_as_the_frames_of_optical_flow(tmp_path):
    published = load(checkpoint(tmp_path / "published", "optical-flow"))
    frames = torch.randint(256, (2, 5, 7, 3), dtype=torch.uint8)
    images = tuple(ImageSpec(name, 5, 7, 3, 1) for name in ("before", "after"))
    model, _ = started(tmp_path / "published", spec_of(*images))
    data = {"in_before": frames[:1], "in_after": frames[1:]}
    patches = torch.stack([frame_patches(frame) for frame in frames])[None]
    torch.testing.assert_close(model.encoder(read(model, data)), published.encoder(published.contexts(patches)))
    taller = tuple(ImageSpec(name, 6, 4, 3, 2) for name in ("before", "after"))  # another size, in patches
    model, _ = started(tmp_path / "published", spec_of(*taller))
    data = {name: torch.randint(256, (1, 3, 2, 12), dtype=torch.uint8) for name in data}
    assert model(data)["label"].shape == (1, 2)


def test_a_table_of_clips_is_fitted_from_a_multimodal_checkpoint(tmp_path):
    folder = checkpoint(tmp_path / "published", "multimodal-autoencoding")
    rows = ["clip,label"]
    for i in range(12):
        frames = np.full((4, 16, 16, 3), 40 + 150 * (i % 2), dtype=np.uint8)
        sound = np.sin(np.arange(3200) * 0.2).astype(np.float32) if i % 3 else None
        (tmp_path / f"{i}.mp4").write_bytes(video(frames, rate=25, sound=sound))
        rows.append(f"{i}.mp4,{'ab'[i % 2]}")
    (tmp_path / "clips.csv").write_text("\n".join(rows) + "\n")
    config = tiny_config(tmp_path / "clips.csv", epochs=1, batch_size=4)
    config = dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, columns={"clip": "video+audio"}, val_fraction=0.25),
        start=StartConfig(checkpoint=str(folder)),
    )
    run, said = TableRun.create(tmp_path / "run"), []
    fit(config, run, reporter=Reporter(say=said.append, warn=said.append))
    assert any("25 a second" in line and "4x4 patches" in line for line in said)
    assert any("800 Hz, mono, 4 samples a token" in line for line in said)
    assert "  head: fresh" in said
    model = run.model()
    assert model.task == "multimodal-autoencoding"
    assert not torch.equal(model.encoder.latents, load(folder).encoder.latents)


def of_task(task, **preprocessing):
    config = SimpleNamespace(max_position_embeddings=66, audio_samples_per_frame=32, samples_per_patch=4)
    return SimpleNamespace(task=task, config=config, preprocessing=preprocessing)


def test_the_first_columns_of_the_kinds_that_it_knows_are_read():
    words, tokens = TextSpec("words", 64), SimpleNamespace(name="tokens", kind="text", tokenizer="{}", in_memory=dict)
    picture, other = ImageSpec("picture", 6, 4, 3, 2), ImageSpec("other", 6, 4, 3, 2)
    film, sound = VideoSpec("film", 25.0, 3, 8, 8, 4), AudioSpec("sound", 800, 96, 4, mean=0.1, std=0.5, sides=2)
    mel = AudioSpec("mel", 800, 400, 40, mel_bands=5, mel_window=80)
    spec = spec_of(tokens, words, picture, other, mel, sound, film)
    assert columns_read(of_task("masked-lm"), spec, "there") == {"text": {"name": "in_words"}}
    with pytest.raises(ValueError, match="it reads 64 bytes of text"):
        columns_read(of_task("masked-lm"), spec_of(TextSpec("words", 65)), "there")
    with pytest.raises(ValueError, match="--from there: this model reads text, but"):
        columns_read(of_task("text-classification"), spec_of(tokens), "there")
    (image,) = columns_read(of_task("image-learned"), spec, "there").values()
    assert image == {"name": "in_picture", "axes": [3, 2], **picture.layout(), "mean": [0.485, 0.456, 0.406],
                     "std": [0.229, 0.224, 0.225]}  # fmt: skip
    (image,) = columns_read(of_task("image-conv", image_mean=[0.5] * 3, image_std=(0.25,) * 3), spec, "there").values()
    assert (image["mean"], image["std"]) == ([0.5] * 3, [0.25] * 3)
    with pytest.raises(ValueError, match="this model reads images, but the table has no column of images"):
        columns_read(of_task("image-fourier"), spec_of(words), "there")
    flow = columns_read(of_task("optical-flow"), spec_of(picture, other, ImageSpec("third", 3, 3, 3, 1)), "there")
    assert {role: column["name"] for role, column in flow.items()} == {"first": "in_picture", "second": "in_other"}
    for size in ({"height": 4}, {"width": 2}):
        with pytest.raises(ValueError, match="both frames must have one size, but picture has 6x4 and other"):
            columns_read(of_task("optical-flow"), spec_of(picture, dataclasses.replace(other, **size)), "there")
    clip = columns_read(of_task("multimodal-autoencoding"), spec, "there")
    assert {role: column["name"] for role, column in clip.items()} == {"audio": "in_sound", "image": "in_film"}
    assert clip["audio"] == {"name": "in_sound", "axes": [24], **sound.layout()}
    assert list(columns_read(of_task("multimodal-autoencoding"), spec_of(picture), "there")) == ["image"]
    assert list(columns_read(of_task("multimodal-autoencoding"), spec_of(sound), "there")) == ["audio"]
    with pytest.raises(ValueError, match=r"no column of videos, images or sounds as samples \(data.audio_fea"):
        columns_read(of_task("multimodal-autoencoding"), spec_of(mel), "there")


def test_cells_in_pieces_are_refused():
    long = VideoSpec("film", 25.0, 300, 8, 8, 4, stream_frames=50)
    with pytest.raises(ValueError, match=r"long ones of film are; use --set data.stream_seconds=null"):
        columns_read(of_task("multimodal-autoencoding"), spec_of(long), "there")


def test_rates_are_those_of_the_checkpoint_unless_others_are_asked_for():
    assert adopt_rates(SpecOptions(), of_task("optical-flow")) == SpecOptions(stream_seconds=None)
    found = adopt_rates(SpecOptions(), of_task("multimodal-autoencoding"))
    assert (found.sample_rate, found.audio_patch, found.video_rate, found.video_patch) == (25 * 32, 4, 25.0, 4)
    assert found.audio_features == "raw"
    found = adopt_rates(SpecOptions(audio_patch=7, video_rate=3.0), of_task("multimodal-autoencoding"))
    assert (found.sample_rate, found.audio_patch, found.video_rate, found.video_patch) == (25 * 32, 7, 3.0, 4)


@pytest.mark.parametrize("masked", [False, True])
def test_texts_stand_between_two_tokens(masked):
    ids = torch.tensor([[1, 256, 3], [2, 0, 0], [0, 0, 0]])
    framed, there = published_inputs._text(ids, ids > 0 if masked else None)
    assert framed[:2].tolist() == [[4, 6, 261, 8, 5], [4, 7, 5, 0, 0]]
    assert there.tolist() == [[True] * 5, [True] * 3 + [False] * 2, [False] * 5]


def test_the_end_that_a_batch_lacks_is_filled_up():
    tokens, mask = torch.ones(2, 3, 4, 5), torch.ones(2, 3, 4, dtype=torch.bool)
    assert published_inputs._filled([3, 4], tokens, None) == (tokens, None)
    filled, there = published_inputs._filled([5, 4], tokens, None)
    assert filled.shape == (2, 5, 4, 5)
    assert filled[:, :3].all()
    assert not filled[:, 3:].any()
    assert torch.equal(there, filled[..., 0] > 0)
    mask[1] = False
    filled, there = published_inputs._filled([3, 6], tokens, mask)
    assert filled.shape == (2, 3, 6, 5)
    assert there.sum((1, 2)).tolist() == [12, 0]


def test_pixels_are_those_of_the_patches_and_grey_has_three_colours():
    patches = torch.arange(2 * 1 * 2 * 4).reshape(2, 1, 2, 4)  # one row of two patches of 2 x 2 grey pixels
    column = {"axes": [1, 2], "patch": 2}
    pixels, there = published_inputs._pixels(column, patches, torch.ones(2, 1, 2, dtype=torch.bool))
    assert there is None
    assert pixels.shape == (2, 3, 2, 4)
    assert pixels[0, 2].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7]]
    mask = torch.tensor([[[True, False]], [[True, True]]])
    there = published_inputs._pixels(column, patches, mask)[1]
    assert there[0].tolist() == [[True, True, False, False]] * 2
    assert there[1].all()
    both = published_inputs._both([None, torch.tensor([True, True, False]), torch.tensor([True, False, False])])
    assert both.tolist() == [True, False, False]


def test_frames_and_pictures_are_cut_into_patches_of_four():
    column = {"axes": [5, 6], "patch": 1}
    patches = torch.randint(256, (2, 5, 6, 3), dtype=torch.uint8)
    tokens, there = published_inputs._video(column, patches, None)
    assert tokens.shape == (2, 1, 2, 2, 48)
    assert there is None
    torch.testing.assert_close(tokens[:, 0, 0, 1, :6], patches[:, 0, 4:].flatten(1).float() / 255)
    assert not tokens[:, 0, 1, 1, 12:].any()  # below the last row
    mask = torch.ones(2, 5, 6, dtype=torch.bool)
    mask[0, 4:] = False
    there = published_inputs._video(column, patches, mask)[1]
    assert there.tolist() == [[True, True, False, False], [True] * 4]


def test_sounds_are_the_mean_of_their_sides_as_they_were():
    column = {"axes": [3], "sides": 2, "mean": 1.0, "std": 2.0}
    patches = torch.tensor([[[0.0, 1.0], [2.0, 2.0], [3.0, 5.0]]])  # one sample a token
    flat, there = published_inputs._sound(column, 2, patches, None)
    assert flat.tolist() == [[[2.0, 5.0], [9.0, 0.0]]]  # 2 x + 1, and silence behind the end
    assert there is None
    flat, there = published_inputs._sound(column, 2, patches, torch.tensor([[True, False, False]]))
    assert flat.tolist() == [[[2.0, 0.0], [0.0, 0.0]]]
    assert there.tolist() == [[True, False]]
    assert published_inputs._sound(column, 3, patches, None)[0].shape == (1, 1, 3)
    assert published_inputs._sound(column, 2, patches[:, :2], None)[1].tolist() == [[True, False]]


@pytest.mark.parametrize("task", ["image-fourier", "image-learned", "image-conv"])
def test_parts_of_a_picture_that_are_not_there_are_masked(task):
    seen = []
    column = {"name": "in_picture", "axes": [10, 10], "patch": 2, "mean": [0.5, 0.0, 0.0], "std": [0.25, 1.0, 1.0]}
    data = {"in_picture": torch.full((2, 10, 10, 12), 255, dtype=torch.uint8)}
    mask = torch.ones(2, 10, 10, dtype=torch.bool)
    mask[0, 5:] = False
    reader = lambda pixels, there, **options: seen.append((pixels, there, options)) or []  # noqa: E731
    for masks in ({}, {"in_picture": mask}):
        published_contexts(task, reader, {"image": column}, data, masks)
    (pixels, whole, options), (_, there, _) = seen
    assert pixels.shape == (2, 3, 20, 20)
    assert pixels[0, :, 0, 0].tolist() == [2.0, 1.0, 1.0]
    assert whole is None
    assert options == ({"interpolate": True} if task == "image-learned" else {})
    side = 5 if task == "image-conv" else 20  # half of it, and of that what a window of three leaves, halved
    assert there.shape == (2, side**2) if task != "image-conv" else there.shape == (2, 4**2)
    assert there[1].all()
    assert 0.3 < there[0].float().mean() < 0.7
    assert published_contexts(task, reader, {"image": column}, {}, {}) == []
