"""Wrong calls of the models: what was expected, what came, and what would do."""

from typing import Any

import pytest
import torch
from torch import nn

import perceiver_pytorch as P
from small_models import CLASSES, audio, build, image, options, pictures, sounds, text, words

pytestmark = pytest.mark.usefixtures("user_view")

WRONG_INPUTS = [
    ({"image": torch.rand(2, 5, 3)}, ValueError,
     r"'image' must be \(batch, axis 0, axis 1, 3 channels\), that is 4 dimensions for 2 axes; got 3: \(2, 5, 3\)"),
    ({"image": torch.rand(2, 5, 4, 1, 3)}, ValueError, "4 dimensions for 2 axes; got 5"),
    ({"image": torch.rand(2, 3, 5, 4)}, ValueError, r"input 'image' must be .*3 channels\); got 4 channels"),
    ({"image": pictures(), "audio": sounds(3)}, ValueError, r"same batch size, got \{'audio': 3, 'image': 2\}"),
    ({"image": torch.rand(2, 3, 5, 4)}, ValueError, r"\(2, 3, 5, 4\); if .* first, give x.permute\(0, 2, 3, 1\)"),
    ({"audio": torch.rand(2, 1, 9)}, ValueError, r"if the channels come first, give x.permute\(0, 2, 1\)"),
    ({"image": torch.rand(2, 5, 4, 1)}, ValueError, r"got 1 channels: \(2, 5, 4, 1\)$"),
    ({"image": torch.rand(0, 5, 0, 3)}, ValueError, "got an empty dimension"),
    ({"image": torch.rand(2, 5, 0, 3)}, ValueError, r"got an empty dimension: \(2, 5, 0, 3\)"),
    ({"imag": pictures()}, ValueError, "must be one of 'audio', 'image', 'text'; got 'imag' .did you mean 'image'"),
    ({"image": pictures(), 3: sounds()}, ValueError, "must be one of 'audio', 'image', 'text'; got 3"),
    ({"audio": torch.stft(torch.randn(2, 80), 16, window=torch.ones(16), return_complex=True)}, TypeError,
     "input 'audio' must be real, got torch.complex64; torch.view_as_real"),
    ({}, ValueError, "no modality given; at least one of audio, image, text is needed"),
    ({"image": None}, TypeError, "input 'image' must be a torch.Tensor, got NoneType"),
    ({"image": pictures().numpy()}, TypeError, "input 'image' must be a torch.Tensor, got ndarray"),
    (pictures(), TypeError, "inputs must be a mapping of modality names to tensors, got Tensor"),
    ([pictures()], TypeError, "got list"),
    (None, TypeError, "got NoneType"),
    ({"text": torch.rand(2, 7)}, TypeError, "input 'text' must hold integer token ids, got torch.float32"),
    ({"text": torch.ones(2, 7, dtype=torch.bool)}, TypeError, "integer token ids, got torch.bool"),
    ({"text": torch.ones(2, 7, 2, dtype=torch.long)}, ValueError,
     r"\(batch, length\) or \(batch, length, 1\), got \(2, 7, 2\)"),
    ({"text": torch.ones(7, dtype=torch.long)}, ValueError, r"got \(7,\)"),
    ({"text": torch.ones(2, 0, dtype=torch.long)}, ValueError, r"got \(2, 0\)"),
    ({"text": torch.tensor([[1, 2], [3, 19]])}, ValueError,
     "token id 19 at sample 1, position 1 is outside the embedding, which has ids 0 to 18"),
    ({"text": torch.tensor([[1, -1], [3, 99]])}, ValueError, "token id -1 at sample 0, position 1"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "error", "message"), WRONG_INPUTS, ids=[m[:40] for _, _, m in WRONG_INPUTS])
def test_wrong_inputs_are_refused(given: Any, error: type[Exception], message: str) -> None:
    model = build("MultiModalityWithTextPerceiver", modalities=[text(), image(), audio()])
    with pytest.raises(error, match=message):
        model(given)


WRONG_PICTURES = [
    (torch.rand(2, 5, 3), ValueError, "input 'data' must be .*got 3"),
    (torch.rand(2, 5, 4, 1), ValueError, "got 1 channels"),
    ({"data": pictures()}, TypeError, "input 'data' must be a torch.Tensor, got dict"),
    (None, TypeError, "got NoneType"),
]


@pytest.mark.parametrize(("given", "error", "message"), WRONG_PICTURES, ids=[m for _, _, m in WRONG_PICTURES])
def test_wrong_inputs_of_perceiver_are_refused(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build("Perceiver")(given)


SIZES = [
    *("depth", "cross_heads", "latent_heads", "cross_dim_head", "latent_dim_head"),
    *("num_latents", "latent_dim", "num_latent_blocks_per_layer", "num_classes"),
]
SIZES_OF = [(model, size) for model in CLASSES for size in SIZES if size in options(model) or size == "cross_heads"]


@pytest.mark.parametrize(("model", "argument"), SIZES_OF)
def test_sizes_must_be_positive_integers(model: str, argument: str) -> None:
    wrong = [(0, ValueError), (-3, ValueError), *[(value, TypeError) for value in (2.0, "2", True, [2, 3])]]
    for value, error in wrong:
        with pytest.raises(error, match=rf"{argument} must be .*at least 1, got"):
            build(model, **{argument: value})


@pytest.mark.parametrize("model", CLASSES)
@pytest.mark.parametrize("argument", ["attn_dropout", "ff_dropout"])
def test_dropout_must_be_a_probability(model: str, argument: str) -> None:
    for value, error in (
        (-0.1, ValueError),
        (1.5, ValueError),
        (float("nan"), ValueError),
        ("0.5", TypeError),
        (None, TypeError),
    ):
        with pytest.raises(error, match=rf"{argument} must .*\[0, 1\], got"):
            build(model, **{argument: value})


WRONG_MODALITIES = [
    ([], ValueError, "modalities is empty"),
    (image(), TypeError, "modalities must be an iterable of InputModality, got InputModality"),
    ({"image": image()}, TypeError, "got dict"),
    ("image", TypeError, "got str"),
    ([image(), image()], ValueError, "two modalities are called 'image'"),
    (["image"], TypeError, "a modality must be an InputModality or a mapping of its fields, got str"),
    ([None], TypeError, "got NoneType"),
    ([{"name": "image", "channels": 3}], ValueError, "a modality has no 'channels'; it has name, input_channels"),
    (None, TypeError, "modalities must be an iterable of InputModality, got NoneType"),
    (3, TypeError, "modalities must be an iterable of InputModality, got int"),
]


@pytest.mark.parametrize(("given", "error", "message"), WRONG_MODALITIES, ids=[m[:40] for _, _, m in WRONG_MODALITIES])
@pytest.mark.parametrize("model", CLASSES[1:])
def test_wrong_modalities_are_refused(model: str, given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build(model, modalities=given)


FIELDS = {"name": "sound", "input_channels": 2, "input_axis": 1, "num_freq_bands": 3, "max_freq": 4.0}
WRONG_FIELDS = [
    ({"name": ""}, ValueError, "name must be a non-empty string without dots, got ''"),
    ({"name": "a.b"}, ValueError, "without dots, got 'a.b'"),
    ({"name": None}, ValueError, "non-empty string"),
    ({"input_channels": 0}, ValueError, "modality 'sound': input_channels must be at least 1, got 0"),
    ({"input_channels": "2"}, TypeError, "modality 'sound': input_channels must be an integer"),
    ({"input_axis": 0}, ValueError, "input_axis must be at least 1"),
    ({"num_freq_bands": -1}, ValueError, "num_freq_bands must be at least 0"),
    ({"num_freq_bands": 2.5}, TypeError, "num_freq_bands must be an integer"),
    ({"max_freq": 0}, ValueError, "modality 'sound': max_freq must be positive, got 0"),
    ({"max_freq": float("nan")}, ValueError, "max_freq must be finite"),
    ({"max_freq": float("inf")}, ValueError, "max_freq must be finite, got inf"),
    ({"max_freq": 10**40}, ValueError, r"max_freq must lie between -3\.4e\+38 and 3\.4e\+38, got 10000"),
    ({"scale": 1e40}, ValueError, "scale must lie between"),
    ({"offset": (1, -1e40)}, ValueError, "each offset must lie between"),
    ({"max_freq": "4"}, TypeError, "modality 'sound': max_freq must be a number, got '4'"),
    ({"max_freq": None}, TypeError, "max_freq must be a number"),
    ({"freq_base": 1}, ValueError, "freq_base must be positive and not 1, got 1"),
    ({"freq_base": -2}, ValueError, "freq_base must be positive"),
    ({"freq_base": "2"}, TypeError, "freq_base must be a number"),
    ({"scale": (1.0,)}, ValueError, "scale must be a number or 2 of them, got 1"),
    ({"offset": [1.0, 2.0, 3.0]}, ValueError, "offset must be a number or 2 of them, got 3"),
    ({"scale": "12"}, TypeError, "modality 'sound': scale must be a number"),
    ({"scale": ("a", "b")}, TypeError, "each scale must be a number, got 'a'"),
    ({"offset": None}, TypeError, "offset must be a number"),
]


@pytest.mark.parametrize(("changes", "error", "message"), WRONG_FIELDS, ids=[str(c) for c, _, _ in WRONG_FIELDS])
def test_wrong_fields_of_a_modality_are_refused(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    P.InputModality(**FIELDS)
    with pytest.raises(error, match=message):
        P.InputModality(**{**FIELDS, **changes})


def test_wrong_embeddings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'text': an embedding goes with one axis .token ids., got input_axis=2"):
        P.InputModalityWithEmbedding("text", 1, 2, 3, 4.0, embedding=nn.Embedding(9, 4))
    with pytest.raises(ValueError, match="'text': scale and offset do not apply to token ids"):
        text(scale=2.0)
    with pytest.raises(TypeError, match=r"'text': embedding must be a torch.nn.Embedding, got Linear"):
        P.InputModalityWithEmbedding("text", 1, 1, 3, 4.0, embedding=nn.Linear(9, 4))
    with pytest.raises(ValueError, match="an embedding of 3 channels cannot be split over 4 layers"):
        build("MultiModalityWithTextPerceiver", modalities=[text(3)], depth=4)


def test_wrong_latent_plans_are_refused() -> None:
    with pytest.raises(ValueError, match="weight_tie_layers must be False: the layers of a hierarchical model differ"):
        build("HierarchicalMultiModalityPerceiver", weight_tie_layers=True)
    too_few = P.HierarchicalConfigurator(3, 3, 4)
    with pytest.raises(ValueError, match=r"num_latents_begin=3 leaves no latent for layer 2 .* at least 4 are needed"):
        build("HierarchicalMultiModalityPerceiver", depth=3, configurator=too_few)
    with pytest.raises(ValueError, match=r"layer_index must lie in 0 to 2 \(depth - 1\), got 3"):
        build("HierarchicalMultiModalityPerceiver", depth=4, configurator=P.HierarchicalConfigurator(3, 64, 4))
    with pytest.raises(ValueError, match="layer_index must lie in"):
        too_few.get_latent_dim(-1)
    with pytest.raises(TypeError, match="configurator must be a HierarchicalConfigurator, got NoneType"):
        build("HierarchicalMultiModalityPerceiver", configurator=None)
    growing = {"num_latents": [4, 8], "latent_dims": [4, 8]}
    with pytest.raises(ValueError, match=r"may not grow in number nor shrink in width, got \[4, 8\] latents"):
        build("HierarchicalMultiModalityPerceiver", configurator=growing)
    with pytest.raises(ValueError, match="may not grow in number nor shrink in width"):
        build("HierarchicalMultiModalityPerceiver", configurator={"num_latents": [4, 2], "latent_dims": [4, 2]})


@pytest.mark.parametrize("model", CLASSES)
def test_unknown_arguments_are_refused(model: str) -> None:
    with pytest.raises(TypeError, match="num_latent"):
        build(model, num_latent=3)
    with pytest.raises(TypeError, match="positional"):
        getattr(P, model)([image()])


def test_old_misspellings_get_no_silent_default() -> None:
    with pytest.raises(TypeError, match="modality_code_dim must be an integer of at least 1, got 'learned'"):
        build("MultiModalityPerceiver", modality_code_dim="learned")
    with pytest.raises(
        ValueError, match=r"style must be one of 'release', 'paper'; got 'papers' .did you mean 'paper'"
    ):
        build("MultiModalityPerceiver", style="papers")


def test_loading_weights_that_do_not_fit_names_the_keys() -> None:
    weights = build("MultiModalityPerceiver").state_dict()
    del weights["latents"]
    with pytest.raises(RuntimeError, match="latents"):
        build("MultiModalityPerceiver").load_state_dict(weights)


def test_the_range_of_ids_is_not_checked_twice_in_range() -> None:
    model = build("MultiModalityWithTextPerceiver")
    assert model({"text": torch.tensor([[0, 18]])}).shape == (1, 5)
    assert model({"text": words(1)}).shape == (1, 5)
