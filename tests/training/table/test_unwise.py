"""What is unwise is told with what to type instead; what is usual is not."""

from types import SimpleNamespace

import numpy as np
import pytest

from perceiver_pytorch import InputModality
from perceiver_pytorch._settings import with_keywords
from perceiver_pytorch.data import ClassTarget
from perceiver_pytorch.data.kinds.image import ImageSpec
from perceiver_pytorch.data.kinds.words import WordsSpec
from perceiver_pytorch.training.table.advice import Advice
from perceiver_pytorch.training.table.build import table_modality
from perceiver_pytorch.training.table.settings import ModelConfig, preset
from perceiver_pytorch.training.table.suspects import Suspect
from perceiver_pytorch.training.table.unwise import (
    MANY_TOKENS,
    unwise_classes,
    unwise_columns,
    unwise_frequencies,
    unwise_tokens,
)

ADVICE = Advice(with_keywords(preset("auto"), {"table": "t.csv", "target": "y"}))
FIT = "perceiver fit t.csv --target y"


def image(height, width, stem="none", patch=1):
    return ImageSpec("photo", height, width, 3, patch, stem=stem)


def frequencies(modality, advice=ADVICE, **model):
    config = ModelConfig(depth=1, num_latents=4, num_latent_blocks_per_layer=1, **model)
    return list(unwise_frequencies([modality], {modality.name: table_modality(modality, config)}, advice))


def test_a_class_of_three_rows_is_told():
    (found,) = unwise_classes([ClassTarget("y", ("a", "b", "c"), (90, 80, 3))], ADVICE)
    assert found.says.startswith("y: 'c' (3 train rows): too few to learn")
    assert found.instead == f"{FIT} --class-weights balanced"
    assert list(unwise_classes([ClassTarget("y", ("a", "b"), (90, 80))], ADVICE)) == []


def test_suspected_columns_are_told():
    (found,) = unwise_columns([Suspect("nr", "column 'nr' has whole numbers", False)], ADVICE)
    assert found.instead == f"{FIT} --column nr=ignore"


def test_four_thousand_tokens_an_image_are_told():
    (found,) = unwise_tokens([image(64, 64)], ADVICE)
    assert found.says == "photo: 4,096 tokens a cell (64 x 64), which every layer reads in every step"
    assert found.instead == f"{FIT} --set data.image_patch=2"
    assert list(unwise_tokens([image(63, 63)], ADVICE)) == []
    assert list(unwise_tokens([image(64, 64, "convolution")], ADVICE)) == []


def test_long_texts_are_told():
    (found,) = unwise_tokens([WordsSpec("note", MANY_TOKENS, "", 16)], ADVICE)
    assert found.instead == f"{FIT} --set data.max_text_tokens=2000"


def test_frequencies_beyond_half_a_wave_from_place_to_place_are_told():
    (found,) = frequencies(image(16, 16), max_freq=64.0)
    assert found.says.startswith("photo: max_freq 64 is beyond the Nyquist frequency of its grid of 16 x 16 places")
    assert found.instead == f"{FIT} --set model.max_freq=16.0"
    assert frequencies(image(16, 16)) == []
    assert frequencies(image(16, 16), max_freq=16.0) == []
    assert frequencies(image(64, 64, "convolution")) == []


def test_a_frequency_that_was_given_for_all_grids_is_left_to_each():
    advice = Advice(with_keywords(ADVICE.asked, {"max_freq": 64.0}))
    (found,) = frequencies(image(16, 16), advice, max_freq=64.0)
    assert found.instead == FIT


def test_an_axis_much_shorter_than_the_others_is_told():
    (found,) = frequencies(image(8, 64))
    assert found.instead == f"{FIT} --set model.max_freq=8.0"
    assert frequencies(image(32, 64)) == []


def test_weights_that_are_taken_over_keep_their_frequencies():
    read = {"photo": InputModality("in_photo", 3, 2, 8, 224.0)}
    advice = Advice(with_keywords(ADVICE.asked, {"start_from": "old"}))
    (found,) = unwise_frequencies([image(32, 32)], read, advice)
    assert found.instead is None


def test_a_grid_that_shares_a_clock_has_the_places_of_its_steps():
    spec = SimpleNamespace(
        name="s", axes=(9,), own_coordinates=(0,), stem_config=None, shape=(9, 1), dtype="float32",
        model_input=lambda: SimpleNamespace(stem=None), grid=lambda axis: np.linspace(-1, -0.5, 9),
    )  # fmt: skip
    read = {"s": InputModality("in_s", 1, 1, 4, 33.0)}
    assert list(unwise_frequencies([spec], read, ADVICE)) == []
    read = {"s": InputModality("in_s", 1, 1, 4, 100.0)}
    (found,) = unwise_frequencies([spec], read, ADVICE)
    assert "of 33 places" in found.says


@pytest.mark.parametrize("count", [1, 2])
def test_one_place_has_no_frequency(count):
    assert len(frequencies(image(1, count), max_freq=64.0)) == count - 1
