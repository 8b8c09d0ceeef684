import math

import pytest
import yaml

from perceiver_pytorch._settings import all_settings, dump_config, load_config, read_settings, with_keywords
from perceiver_pytorch.cli.options import PANELS
from perceiver_pytorch.training.language.settings import LanguageTraining
from perceiver_pytorch.training.run.settings import TrainingSettings
from perceiver_pytorch.training.table.settings import PRESETS, FitConfig, TrainingConfig, preset


@pytest.mark.parametrize("name", PRESETS)
def test_a_written_configuration_reads_back_in_full(name, tmp_path):
    config = preset(name)
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(config))
    assert load_config(path, FitConfig()) == config
    assert set(yaml.safe_load(path.read_text())) == {"data", "model", "training", "augment", "start"}


def test_every_knob_has_help_and_stands_in_the_file():
    text = dump_config(FitConfig())
    for setting in all_settings(FitConfig):
        assert setting.knob.help
        assert f"  {setting.name}: " in text


def test_settings_have_different_keywords_and_a_heading_of_the_help():
    settings = list(all_settings(FitConfig))
    assert len({setting.keyword for setting in settings}) == len(settings)
    assert {setting.panel for setting in settings} <= set(PANELS)


def test_keywords_of_python_make_a_configuration():
    options = {"epochs": 3, "lr": 1e-3, "image_size": 32, "augment": False, "depth": 4, "columns": {"a": "image"}}
    config = with_keywords(preset("small"), options)
    assert (config.training.epochs, config.training.lr, config.data.image_size) == (3, 1e-3, 32)
    assert (config.augment.enabled, config.model.depth, config.data.columns) == (False, 4, {"a": "image"})
    assert config.model.latent_dim == preset("small").model.latent_dim
    with pytest.raises(TypeError, match=r"there is no setting 'epoch' \(did you mean 'epochs'"):
        with_keywords(preset("tiny"), {"epoch": 3})


def test_training_of_tables_and_of_language_share_their_settings():
    shared = {setting.name for setting in all_settings(TrainingSettings)}
    for config in (TrainingConfig, LanguageTraining):
        assert shared < {setting.name for setting in all_settings(config)}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"modle": {}}, "did you mean 'model'"),
        ({"model": {"dept": 3}}, "model has no 'dept'.*did you mean 'depth'"),
        ({"model": {"depth": "three"}}, "model.depth must be an integer of at least 1, got 'three'"),
        ({"training": {"optimizer": "sgd"}}, "optimizer must be one of 'adamw', 'lamb'; got 'sgd'"),
        ({"training": {"seed": True}}, "seed must be int"),
        ({"training": {"seed": -1}}, "seed must be at least 0, got -1"),
        ({"training": {"seed": 1 << 32}}, r"seed must be less than 2\^32, got 4294967296"),
        ({"data": {"image_size": "big"}}, "image_size must be int or none"),
        ({"model": 3}, "model must be a mapping"),
        ({"training": {"batch_size": 0}}, "training.batch_size must be at least 1, got 0"),
        ({"training": {"num_workers": -1}}, "training.num_workers must be at least 0, got -1"),
        ({"training": {"label_smoothing": 2}}, "training.label_smoothing must lie between 0 and 1, got 2"),
        ({"training": {"lr": math.nan}}, "training.lr must be at least 0, got nan"),
        ({"training": {"checkpoint_every": "soon"}}, "training.checkpoint_every must be like 5m"),
        ({"model": {"num_latents": 0}}, "model.num_latents must be at least 1, got 0"),
        ({"data": {"cache_mb": -5}}, "data.cache_mb must be at least 0, got -5"),
        ({"augment": {"image_flip": 1.5}}, "augment.image_flip must lie between 0 and 1, got 1.5"),
        ({"start": {"lora": -1}}, "start.lora must be at least 0, got -1"),
    ],
)
def test_wrong_settings_are_named(given, message):
    with pytest.raises((ValueError, TypeError), match=message):
        read_settings(FitConfig, given)


def test_what_is_not_given_stays():
    base = preset("small")
    config = read_settings(FitConfig, {"model": {"depth": 5}}, base=base)
    assert (config.model.depth, config.model.latent_dim) == (5, base.model.latent_dim)
