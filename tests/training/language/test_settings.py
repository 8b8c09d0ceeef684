import dataclasses

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


TINY = {
    "objective": "causal",
    "data": {"file": "", "val_fraction": 0.05, "test_fraction": 0.05, "context": 512},
    "model": {
        "num_latents": 128,
        "latent_dim": 128,
        "embedding_dim": 128,
        "depth": 4,
        "heads": 4,
        "cross_heads": 4,
        "num_cross_attends": 1,
        "widening_factor": 4,
        "activation": "gelu",
        "prefix_dropout": 0.1,
        "attn_dropout": 0.0,
        "ff_dropout": 0.0,
        "rotary_fraction": 0.5,
        "tie_embeddings": True,
    },
    "training": {
        "steps": 2000,
        "epochs": None,
        "batch_size": 16,
        "validate_every": 200,
        "validate_bytes": 65_536,
        "measure_bytes": 500_000,
        "lr": 2e-3,
        "short_contexts": 0.5,
        "mask_fraction": 0.15,
        "patience": None,
    },
}
CHANGES = {
    ("tiny", "causal"): {},
    ("small", "causal"): {
        "data": {"context": 2048},
        "model": {"num_latents": 512, "latent_dim": 256, "embedding_dim": 256, "depth": 6, "heads": 8},
        "training": {"steps": 10_000, "lr": 1e-3, "batch_size": 16},
    },
    ("base", "causal"): {
        "data": {"context": 4096},
        "model": {"num_latents": 1024, "latent_dim": 512, "embedding_dim": 512, "depth": 12, "heads": 8}
        | {"cross_heads": 8},
        "training": {"steps": 50_000, "lr": 6e-4, "batch_size": 32},
    },
    ("tiny", "masked"): {
        "data": {"context": 32},
        "model": {"num_latents": 16, "depth": 2},
        "training": {"steps": 5000, "batch_size": 64, "lr": 1.5e-3, "mask_fraction": 0.2, "validate_every": 500},
    },
    ("small", "masked"): {
        "data": {"context": 128},
        "model": {"num_latents": 64, "latent_dim": 256, "embedding_dim": 256, "depth": 6, "heads": 8},
        "training": {"steps": 10_000, "lr": 1e-3, "batch_size": 16},
    },
    ("base", "masked"): {
        "data": {"context": 2048},
        "model": {"num_latents": 256, "latent_dim": 512, "embedding_dim": 512, "depth": 12, "heads": 8}
        | {"cross_heads": 8},
        "training": {"steps": 50_000, "lr": 6e-4, "batch_size": 32},
    },
}


@pytest.mark.parametrize(("name", "objective"), CHANGES)
def test_what_is_not_given_and_what_a_preset_changes(name, objective):
    found = dataclasses.asdict(language_preset(name, objective))
    assert found["objective"] == objective
    for group in ("data", "model", "training"):
        assert {key: found[group][key] for key in TINY[group]} == TINY[group] | CHANGES[name, objective].get(group, {})


def test_what_may_change_about_a_run_that_goes_on():
    assert LanguageConfig() == language_preset("tiny")
    resumable = {setting.path for setting in all_settings(LanguageConfig) if setting.knob.resumable}
    machines = {
        f"training.{name}" for name in ("accelerator", "devices", "logger", "nodes", "state_dict_type", "strategy")
    }
    assert resumable == {"data.file", "training.checkpoint_every", *machines}


ONE = ("num_latents", "embedding_dim", "depth", "heads", "cross_heads", "num_cross_attends", "widening_factor")
SHARES = ("prefix_dropout", "attn_dropout", "ff_dropout", "rotary_fraction")


@pytest.mark.parametrize(
    ("path", "allowed", "refused"),
    [
        *((f"model.{name}", [1], [0]) for name in ONE),
        ("model.latent_dim", [4], [0]),
        *((f"model.{name}", [0.0, 1.0], [-0.01, 1.01]) for name in SHARES),
        *((f"training.{name}", [1], [0]) for name in ("steps", "validate_every", "validate_bytes", "measure_bytes")),
        ("data.context", [128], [0]),
        ("data.val_fraction", [0.001, 0.9], [0.0, 1.0]),
        ("data.test_fraction", [0.001, 0.9], [0.0, 1.0]),
        ("training.epochs", [0.01, 3.0], [0.0]),
        ("training.short_contexts", [0.0, 1.0], [-0.01, 1.01]),
        ("training.mask_fraction", [0.01, 0.99], [0.0, 1.0]),
    ],
)
def test_limits_are_allowed_and_what_is_behind_them_is_not(path, allowed, refused):
    group, name = path.split(".")
    for value in allowed:
        read_settings(LanguageConfig, {group: {name: value}})
    for value in refused:
        with pytest.raises(ValueError, match=name):
            read_settings(LanguageConfig, {group: {name: value}})


def test_settings_must_fit_each_other():
    read_settings(LanguageConfig, {"data": {"val_fraction": 0.5, "test_fraction": 0.49}})
    with pytest.raises(ValueError, match="their sum must be below 1"):
        read_settings(LanguageConfig, {"data": {"val_fraction": 0.5, "test_fraction": 0.5}})
    read_settings(LanguageConfig, {"objective": "masked", "data": {"context": 100}})
    with pytest.raises(ValueError, match=r"model.num_latents \(128\) must not exceed data.context \(127\)"):
        read_settings(LanguageConfig, {"data": {"context": 127}})
    with pytest.raises(ValueError, match=r"cross_heads must divide model.latent_dim \(128\), got 5"):
        read_settings(LanguageConfig, {"model": {"cross_heads": 5}})
    with pytest.raises(ValueError, match="preset must be one of 'tiny', 'small', 'base'; got 'huge'"):
        language_preset("huge")
    with pytest.raises(ValueError, match="objective must be one of 'causal', 'masked'; got 'both'"):
        language_preset("tiny", "both")
