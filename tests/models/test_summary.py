"""The text that describes a model."""

import pytest
import torch

import perceiver_pytorch as P
from small_models import CLASSES, build, image, inputs, text


def test_says_what_there_is() -> None:
    model = build("MultiModalityWithTextPerceiver", modalities=[text(12), P.InputModality("image", 3, 2, 3, 6.0)])
    parameters = sum(p.numel() for p in model.parameters())
    width = model.max_modality_dim
    lines = model.summary().splitlines()
    assert lines[0] == f"{parameters:,} parameters; latents 4 x 8; 2 layers; output: 5 classes"
    assert lines[1] == f"{width} channels per token:"
    assert lines[2] == f"  image: 2 axes; 3 data + {width - 19} padding + 14 position + 2 code"
    assert lines[3] == f"  text: 1 axis; 6 data + {width - 13} padding + 5 position + 2 code"


def test_counts_tokens_of_given_sizes_or_batches() -> None:
    model = build("MultiModalityPerceiver")
    by_size = model.summary({"image": (224, 224), "audio": [44100]})
    assert "; 50,176 tokens (224 x 224)" in by_size
    assert "; 44,100 tokens (44100)" in by_size
    by_batch = model.summary({"image": torch.zeros(2, 224, 224, 3), "audio": torch.zeros(2, 44100, 1)})
    assert by_batch == by_size
    assert model.summary({"image": (5, 4)}).count("tokens") == 1


def test_the_texts_ids_have_no_channel_in_the_count() -> None:
    model = build("MultiModalityWithTextPerceiver")
    for ids in (torch.zeros(2, 7, dtype=torch.long), torch.zeros(2, 7, 1, dtype=torch.long)):
        assert "; 7 tokens (7)" in model.summary({"text": ids})


@pytest.mark.parametrize("name", CLASSES)
def test_every_model_has_one_and_shows_it_when_printed(name: str) -> None:
    model = build(name)
    assert model.summary().splitlines()[0] in repr(model)
    model.summary(inputs(name) if isinstance(inputs(name), dict) else {"data": inputs(name)})
    hierarchical = name.startswith("Hierarchical")
    assert ("latents 6 x 6 -> 3 x 12" if hierarchical else "latents 4 x 8") in model.summary()
    assert ("output: latents" if name.endswith("NoPooling") else "output: 5 classes") in model.summary()


def test_wrong_sizes_are_refused() -> None:
    model = build("MultiModalityPerceiver", modalities=[image()])
    with pytest.raises(ValueError, match=r"modality 'image' has 2 axes, got \(5,\)"):
        model.summary({"image": (5,)})
    with pytest.raises(ValueError, match="a modality of inputs must be one of 'image'; got 'imag'"):
        model.summary({"imag": (5, 4)})
