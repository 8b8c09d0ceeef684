import pytest
import torch

from perceiver_pytorch import (
    InputModality,
    MultiModalityPerceiverNoPooling,
    MultiModalityWithTextPerceiverNoPooling,
    MultiTaskPerceiver,
)

ENCODER = {"depth": 2, "num_latents": 5, "latent_dim": 16, "num_latent_blocks_per_layer": 1, "latent_heads": 2}
TASKS = {"keys": 3, "a kind.of": 1}  # not in the order of the alphabet


def encoder(**changes):
    modalities = [InputModality("image", 3, 2, num_freq_bands=2, max_freq=4.0), InputModality("wave", 4, 1, 2, 4.0)]
    return MultiModalityWithTextPerceiverNoPooling(modalities=modalities, **{**ENCODER, **changes})


@pytest.fixture
def batch():
    torch.manual_seed(0)
    return {"image": torch.randn(2, 5, 4, 3), "wave": torch.randn(2, 6, 4)}


def test_a_head_reads_the_mean_of_its_own_latents(batch):
    model = MultiTaskPerceiver(encoder=encoder(), tasks=TASKS).eval()
    outputs = model(batch)
    latents = model.encoder(batch)
    assert list(outputs) == list(TASKS)
    torch.testing.assert_close(outputs["keys"], model.heads[0](latents[:, :3].mean(1)))
    torch.testing.assert_close(outputs["a kind.of"], model.heads[1](latents[:, 3:].mean(1)))
    assert outputs["a kind.of"].shape == (2, 1)


def test_masks_and_presence_reach_the_encoder(batch):
    model = MultiTaskPerceiver(encoder=encoder(), tasks=TASKS).eval()
    without = model({"image": batch["image"]})
    absent = torch.zeros(2, dtype=torch.bool)
    for name, values in model(batch, present={"wave": absent}).items():
        torch.testing.assert_close(values, without[name])
    for name, values in model(batch, mask={"wave": torch.zeros(2, 6, dtype=torch.bool)}).items():
        torch.testing.assert_close(values, without[name])


def test_a_saved_model_comes_back_whole(batch, tmp_path):
    model = MultiTaskPerceiver(encoder=encoder(style="paper"), tasks=TASKS).eval()
    model.save_pretrained(tmp_path)
    again = MultiTaskPerceiver.from_pretrained(tmp_path).eval()
    assert again.summary() == model.summary()
    assert list(again.tasks) == list(TASKS)
    for name, values in again(batch).items():
        torch.testing.assert_close(values, model(batch)[name], rtol=0, atol=0)


def test_an_encoder_without_text(batch, tmp_path):
    given = {"modalities": encoder().modalities.values(), **ENCODER}
    model = MultiTaskPerceiver(encoder=MultiModalityPerceiverNoPooling(**given), tasks=TASKS).eval()
    latents = model.encoder(batch)
    torch.testing.assert_close(model(batch)["keys"], model.heads[0](latents[:, :3].mean(1)))
    model.save_pretrained(tmp_path)
    again = MultiTaskPerceiver.from_pretrained(tmp_path).eval()
    assert type(again.encoder) is MultiModalityPerceiverNoPooling
    for name, values in again(batch).items():
        torch.testing.assert_close(values, model(batch)[name], rtol=0, atol=0)
    assert type(MultiTaskPerceiver(encoder=given, tasks=TASKS).encoder) is MultiModalityWithTextPerceiverNoPooling
    with pytest.raises(ValueError, match="class of the encoder must be one of 'MultiModalityWithText"):
        MultiTaskPerceiver(encoder={"class": "Perceiver", **given}, tasks=TASKS)


def test_the_summary_counts_the_heads():
    model = MultiTaskPerceiver(encoder=encoder(), tasks=TASKS)
    first = model.summary().splitlines()[0]
    assert first.startswith(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    assert first.endswith("output: keys (3), a kind.of (1)")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tasks": {}}, "one or more different names"),
        ({"tasks": {"a": 0}}, r"tasks\['a'\] must be"),
        ({"tasks": dict.fromkeys("abcdef", 1)}, "each of 6 tasks needs a latent of its own, but there are 5"),
        ({"tasks": TASKS, "encoder": torch.nn.Identity()}, "encoder must be"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        MultiTaskPerceiver(**{"encoder": encoder(), **arguments})
