import dataclasses

import pytest

from data_helpers import fitted, table_of, wav
from perceiver_pytorch.data import SpecOptions


def test_single_columns_may_differ(tmp_path):
    import numpy as np

    cells = [wav(np.random.default_rng(i).normal(size=800) * 0.1) for i in range(20)]
    table = table_of(tmp_path, one=cells, two=cells, y=["a", "b"] * 10)
    options = SpecOptions(
        audio_features="raw",
        audio_patch=16,
        column_options={"two": {"audio_features": "logmel", "mel_bands": 8}},
    )
    spec, _ = fitted(table, "y", options=options)
    assert [(m.patch, m.mel_bands) for m in spec.modalities] == [(16, 0), (80, 8)]
    assert type(spec).from_dict(spec.to_dict()) == spec


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image_fit": "crop"}, "image_fit must be one of 'pad', 'stretch'; got 'crop'"),
        ({"image_size": 0}, "image_size must be above 0, got 0"),
        ({"image_size": "64"}, "image_size must be int or none, got '64'"),
        ({"image_size": True}, "image_size must be int or none, got True"),
        ({"audio_channels": 3}, "audio_channels must be one of 1, 2; got 3"),
        ({"series_values": [1]}, r"series_values must be list\[str\], got \[1\]"),
        (
            {"column_options": {"x": {"image_sise": 3}}},
            r"column_options.x has no 'image_sise'; .*\(did you mean",
        ),
        ({"column_options": {"x": {"image_size": -3}}}, "column_options.x: image_size must be above 0, got -3"),
        ({"column_options": {"x": 3}}, "column_options must be dict"),
    ],
)
def test_wrong_options_are_named(given, message):
    with pytest.raises((ValueError, TypeError), match=message):
        SpecOptions(**given)


def test_every_option_is_a_setting_with_the_same_default():
    from perceiver_pytorch.training.table.settings import DataConfig

    config = DataConfig()
    for option in dataclasses.fields(SpecOptions):
        ours, theirs = getattr(SpecOptions(), option.name), getattr(config, option.name)
        assert (list(ours) if isinstance(ours, tuple) else ours) == theirs, option.name
