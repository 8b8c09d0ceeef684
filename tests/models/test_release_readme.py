"""The examples of release 1.4.0's README run, and give its numbers."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from release import our_names, release_names, running_release

FULL, SMALL = (260, 32, 44100), (10, 3, 400)  # side of the pictures, pictures of a clip, samples of a sound


def image_model(library: SimpleNamespace) -> nn.Module:
    torch.manual_seed(0)
    return library.Perceiver(
        input_channels=3,
        input_axis=2,
        num_freq_bands=6,
        max_freq=10.0,
        depth=6,
        num_latents=256,
        latent_dim=512,
        cross_heads=1,
        latent_heads=8,
        cross_dim_head=64,
        latent_dim_head=64,
        num_classes=1000,
        attn_dropout=0.0,
        ff_dropout=0.0,
        weight_tie_layers=False,
    )


def multi_modality_model(library: SimpleNamespace) -> nn.Module:
    video = library.InputModality(name="video", input_channels=3, input_axis=3, num_freq_bands=6, max_freq=4.0)
    image = library.InputModality(name="image", input_channels=3, input_axis=2, num_freq_bands=6, max_freq=4.0)
    audio = library.InputModality(name="audio", input_channels=1, input_axis=1, num_freq_bands=6, max_freq=8.0)
    torch.manual_seed(0)
    return library.MultiModalityPerceiver(
        modalities=(video, image, audio),
        depth=8,
        num_latents=12,
        latent_dim=64,
        cross_heads=1,
        latent_heads=8,
        cross_dim_head=64,
        latent_dim_head=64,
        num_classes=1000,
        attn_dropout=0.0,
        ff_dropout=0.0,
        weight_tie_layers=True,
        num_latent_blocks_per_layer=6,
    )


def clips(side: int, pictures: int, samples: int, batch: int = 3) -> dict[str, Tensor]:
    return {
        "image": torch.rand(size=(batch, side, side, 3), requires_grad=True),
        "video": torch.rand(size=(batch, pictures, side, side, 3), requires_grad=True),
        "audio": torch.rand(size=(batch, samples, 1), requires_grad=True),
    }


def assert_equal_to_release(got: Tensor, model: nn.Module, inputs: object) -> None:
    with running_release(torch.float32), torch.no_grad():
        expected = model(inputs)
    assert (got - expected).abs().max() < 1e-5 * expected.abs().max()


def test_imports_of_the_readme() -> None:
    from perceiver_pytorch import Perceiver  # noqa: F401
    from perceiver_pytorch.modalities import InputModalityWithEmbedding, modality_encoding  # noqa: F401
    from perceiver_pytorch.multi_modality_perceiver import InputModality, MultiModalityPerceiver  # noqa: F401
    from perceiver_pytorch.multi_modality_with_text_perceiver import MultiModalityWithTextPerceiver  # noqa: F401


def test_image_example() -> None:
    image = torch.randn(1, 20, 20, 3)
    output = image_model(our_names())(image)
    assert output.shape == (1, 1000)
    assert_equal_to_release(output, image_model(release_names()), image)


def test_multi_modality_example_and_its_training_step() -> None:
    inputs = clips(*SMALL)
    output = multi_modality_model(our_names())(inputs)
    assert output.shape == (3, 1000)
    assert_equal_to_release(output, multi_modality_model(release_names()), inputs)
    output.sum().backward()
    assert all(value.grad.shape == value.shape for value in inputs.values())


@pytest.mark.parametrize("base", ["MultiModalityPerceiver", "MultiModalityPerceiverNoPooling"])
def test_pooling_of_ones_own(base: str) -> None:
    """As the README suggests: the first three latents, for three tasks."""

    def model(library: SimpleNamespace) -> nn.Module:
        class ThreeTasks(getattr(library, base)):
            def pool(self, x: Tensor) -> Tensor:
                return x[:, :3]

        image = library.InputModality("image", 3, 2, 4, 4.0)
        classes = {} if base.endswith("NoPooling") else {"num_classes": 7}
        torch.manual_seed(0)
        return ThreeTasks(modalities=[image], depth=2, num_latents=5, latent_dim=16, **classes)

    image = torch.randn(2, 6, 6, 3)
    output = model(our_names())({"image": image})
    assert output.shape == (2, 3, 7 if base == "MultiModalityPerceiver" else 16)
    assert_equal_to_release(output, model(release_names()), {"image": image})


@pytest.mark.nightly
def test_image_example_in_full_size() -> None:
    image = torch.randn(1, 224, 224, 3)
    with torch.no_grad():
        output = image_model(our_names())(image)
    assert output.shape == (1, 1000)
    assert_equal_to_release(output, image_model(release_names()), image)


@pytest.mark.nightly
def test_multi_modality_example_in_full_size() -> None:
    """Three clips and their gradients; one clip against the release, which takes 3 GB for it."""
    inputs, model = clips(*FULL), multi_modality_model(our_names())
    output = model(inputs)
    assert output.shape == (3, 1000)
    output.sum().backward()
    assert all(torch.isfinite(value.grad).all() for value in inputs.values())
    one = {name: value[:1].detach() for name, value in inputs.items()}
    assert_equal_to_release(output[:1], multi_modality_model(release_names()), one)
