import pytest

from perceiver_pytorch._settings import all_settings, dump_config, load_config, read_settings
from perceiver_pytorch.cli.options import PANELS
from perceiver_pytorch.training.language.settings import OBJECTIVES, PRESETS, LanguageConfig, language_preset


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", PRESETS)
def test_a_written_configuration_reads_back_in_full(name, objective, tmp_path):
    config = language_preset(name, objective)
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(config))
    assert load_config(path, LanguageConfig()) == config


def test_settings_have_help_different_keywords_and_a_heading_of_the_help():
    settings = list(all_settings(LanguageConfig))
    assert all(setting.knob.help for setting in settings)
    assert len({setting.keyword for setting in settings}) == len(settings)
    assert {setting.panel for setting in settings} <= set(PANELS)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": {"num_latents": 600}}, r"model.num_latents \(600\) must not exceed data.context \(512\)"),
        ({"model": {"heads": 3}}, r"model.heads must divide model.latent_dim \(128\), got 3"),
        ({"data": {"val_fraction": 0.6, "test_fraction": 0.5}}, "leave nothing to train on"),
        ({"data": {"test_fraction": 0.0}}, "data.test_fraction must lie between 0 and 1"),
        ({"objective": "both"}, "objective must be one of 'causal', 'masked'"),
        ({"training": {"steps": 0}}, "training.steps must be at least 1"),
        ({"training": {"epochs": 0.0}}, "training.epochs must be above 0"),
        ({"training": {"lr": -1.0}}, "lr must be at least 0, got -1.0"),
        ({"training": {"lr": float("nan")}}, "lr must be at least 0, got nan"),
        ({"training": {"seed": 1 << 40}}, r"training.seed must be less than 2\^32"),
        ({"training": {"step": 3}}, "did you mean 'steps'"),
    ],
)
def test_configurations_that_cannot_be_are_refused(given, message):
    with pytest.raises((ValueError, TypeError), match=message):
        read_settings(LanguageConfig, given)
