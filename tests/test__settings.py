import dataclasses
import math
from dataclasses import dataclass

import pytest
import yaml

from perceiver_pytorch._settings import Settings, dump_config, knob, load_config, read_settings
from perceiver_pytorch.training.table.settings import PRESETS, FitConfig, preset


@pytest.mark.parametrize("name", PRESETS)
def test_a_written_configuration_reads_back_in_full(name, tmp_path):
    config = preset(name)
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(config))
    assert load_config(path, FitConfig()) == config
    assert set(yaml.safe_load(path.read_text())) == {"data", "model", "training", "augment", "start"}


def test_every_knob_has_help_and_stands_in_the_file():
    text = dump_config(FitConfig())
    for part in (FitConfig().data, FitConfig().model, FitConfig().training):
        for field in dataclasses.fields(part):
            assert field.metadata["knob"].help
            assert f"  {field.name}: " in text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"modle": {}}, "did you mean 'model'"),
        ({"model": {"dept": 3}}, "model has no 'dept'.*did you mean 'depth'"),
        ({"model": {"depth": "three"}}, "model.depth must be int, got 'three'"),
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


@dataclass(frozen=True, kw_only=True)
class Sample(Settings):
    names: list[str] = knob(["a"], "some names")
    rate: float | None = knob(None, "a rate", above=0)


def test_a_knob_may_be_a_list_that_each_instance_has_for_itself():
    one, other = Sample(), Sample()
    assert one.names == ["a"]
    assert one.names is not other.names


def test_a_bound_may_be_left_out_of_the_range():
    assert Sample(rate=0.1).rate == 0.1
    with pytest.raises(ValueError, match="rate must be above 0, got 0"):
        Sample(rate=0)


def test_what_is_not_given_stays():
    base = preset("small")
    config = read_settings(FitConfig, {"model": {"depth": 5}}, base=base)
    assert (config.model.depth, config.model.latent_dim) == (5, base.model.latent_dim)


def test_a_file_that_is_no_yaml_is_named(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("model: [")
    with pytest.raises(ValueError, match=r"broken\.yaml is no YAML"):
        load_config(path, FitConfig())
