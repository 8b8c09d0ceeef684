import pytest
import torch
from torch import nn

from perceiver_pytorch import InputModality, InputModalityWithEmbedding, MultiModalityPerceiver
from perceiver_pytorch import MultiModalityWithTextPerceiver as WithText
from perceiver_pytorch.nn.stems import PatchStem

SIZES = {"depth": 2, "num_latents": 3, "latent_dim": 8, "latent_heads": 2, "latent_dim_head": 4, "num_classes": 2}


def picture(stem: nn.Module | None, **arguments: object) -> InputModality:
    return InputModality("image", 3, 2, 2, 4.0, stem=stem, **arguments)


class Halved(nn.Module):
    """A stem of a user's own: every other cell."""

    channels = 3

    def forward(self, data, mask, coordinates):
        return data[:, ::2, ::2], None if mask is None else mask[:, ::2, ::2], coordinates


def test_a_stem_reads_scaled_data_once() -> None:
    stem = PatchStem(3, (2, 2), channels=4)
    model = MultiModalityPerceiver(modalities=[picture(stem, scale=2 / 255, offset=-1.0)], **SIZES)
    raw = torch.randint(0, 256, (2, 4, 4, 3), dtype=torch.uint8)
    tokens = model.tokens({"image": raw})["image"]
    torch.testing.assert_close(tokens.data, stem(raw.float() * (2 / 255) - 1, None, None)[0])
    (context,) = model.contexts(model.tokens({"image": raw}))[0]
    assert context.scale is None
    assert context.offset is None


def test_gradients_reach_the_stem() -> None:
    model = MultiModalityPerceiver(modalities=[picture(PatchStem(3, (2, 2), channels=4))], **SIZES)
    model({"image": torch.randn(2, 4, 4, 3)}).sum().backward()
    assert model.stems["image"].project.weight.grad.abs().sum() > 0


def test_a_model_with_a_stem_equals_one_that_is_given_its_tokens() -> None:
    stem = PatchStem(3, (2, 2), channels=4)
    model = MultiModalityPerceiver(modalities=[picture(stem)], **SIZES).eval()
    plain = MultiModalityPerceiver(modalities=[InputModality("image", 4, 2, 2, 4.0)], **SIZES).eval()
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("stems.")})
    data = torch.randn(2, 4, 6, 3)
    tokens = model.tokens({"image": data})["image"]
    found = plain({"image": tokens.data}, coordinates={"image": tokens.coordinates})
    torch.testing.assert_close(model({"image": data}), found)


def test_a_sample_that_lacks_the_modality_is_as_one_that_is_masked() -> None:
    model = MultiModalityPerceiver(modalities=[picture(PatchStem(3, (2, 2), channels=4))], **SIZES).eval()
    data = torch.randn(2, 4, 4, 3)
    here = torch.tensor([True, False])
    mask = here[:, None, None].expand(2, 4, 4)
    absent = model({"image": data.masked_fill(~mask[..., None], torch.nan)}, present={"image": here})
    torch.testing.assert_close(absent, model({"image": data}, mask={"image": mask}))
    assert absent.isfinite().all()


def test_a_saved_model_has_its_stem(tmp_path) -> None:
    model = MultiModalityPerceiver(modalities=[picture(PatchStem(3, (2, 2), channels=4))], **SIZES).eval()
    model.save_pretrained(tmp_path)
    data = torch.randn(1, 4, 4, 3)
    assert torch.equal(MultiModalityPerceiver.from_pretrained(tmp_path)({"image": data}), model({"image": data}))


def test_a_stem_of_ones_own_is_used_but_not_saved(tmp_path) -> None:
    model = MultiModalityPerceiver(modalities=[picture(Halved())], **SIZES)
    assert model.tokens({"image": torch.randn(1, 4, 4, 3)})["image"].data.shape == (1, 2, 2, 3)
    with pytest.raises(TypeError, match=r"Halved.*perceiver\.stems"):
        model.save_pretrained(tmp_path)


def test_a_replaced_stem_is_the_one_that_is_called() -> None:
    model = MultiModalityPerceiver(modalities=[picture(PatchStem(3, (2, 2), channels=3))], **SIZES)
    model.stems["image"] = Halved()
    data = torch.randn(1, 4, 4, 3)
    assert torch.equal(model.tokens({"image": data})["image"].data, data[:, ::2, ::2])


def test_layers_see_parts_of_the_channels_of_a_stem_that_is_split() -> None:
    text = InputModalityWithEmbedding("text", 5, 1, 2, 4.0, stem=PatchStem(5, (1,), channels=8))
    model = WithText(modalities=[text], **SIZES)
    tokens = model.tokens({"text": torch.randn(1, 6, 5)})
    first, second = (layer[0].data for layer in model.contexts(tokens))
    assert torch.equal(torch.cat([first, second], -1), tokens["text"].data)


def test_wrong_tokens_of_a_stem_are_told() -> None:
    stem = Halved()
    stem.channels = 5
    model = MultiModalityPerceiver(modalities=[picture(stem)], **SIZES)
    with pytest.raises(ValueError, match="the stem of 'image' must give"):
        model({"image": torch.randn(1, 4, 4, 3)})


def test_a_stem_must_say_its_channels() -> None:
    with pytest.raises((TypeError, ValueError), match="channels of the stem"):
        picture(nn.Identity())
