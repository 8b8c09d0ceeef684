import dataclasses
import math

import pytest
import yaml

from perceiver_pytorch._settings import all_settings, dump_config, load_config, read_settings, with_keywords
from perceiver_pytorch.cli.options import PANELS
from perceiver_pytorch.data.choice import Choice
from perceiver_pytorch.training.language.settings import LanguageTraining
from perceiver_pytorch.training.run.settings import TrainingSettings
from perceiver_pytorch.training.table.settings import (
    BUILTIN,
    PRESETS,
    FitConfig,
    StartConfig,
    TableSettings,
    TrainingConfig,
    preset,
)


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
        ({"model": {"depth": "three"}}, "model.depth must be int or none, got 'three'"),
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


MODEL = {
    "depth": 2,
    "num_latents": 16,
    "latent_dim": 64,
    "cross_heads": 4,
    "cross_dim_head": 16,
    "latent_heads": 4,
    "latent_dim_head": 16,
    "num_latent_blocks_per_layer": 2,
    "widening_factor": 4,
    "weight_tie_layers": False,
    "num_freq_bands": 8,
    "embedding_dim": 32,
    "split_embedding": False,
    "modality_code_dim": None,
    "style": "paper",
}
SMALL = {"depth": 3, "num_latents": 64, "latent_dim": 128, "latent_heads": 8, "num_latent_blocks_per_layer": 3}
BASE = {"depth": 4, "num_latents": 256, "latent_dim": 512, "cross_heads": 1, "cross_dim_head": 64, "latent_heads": 8,
        "latent_dim_head": 64, "num_latent_blocks_per_layer": 6, "weight_tie_layers": True, "num_freq_bands": 32,
        "embedding_dim": 128}  # fmt: skip


OPEN = dict.fromkeys(("depth", "num_latents", "num_latent_blocks_per_layer"))


@pytest.mark.parametrize(
    ("name", "changes"),
    [("auto", OPEN), ("tiny", {}), ("small", SMALL | {"num_freq_bands": 16, "embedding_dim": 64}), ("base", BASE)],
)
def test_sizes_of_presets(name, changes):
    config = preset(name)
    found = dataclasses.asdict(config)
    assert found["model"] | MODEL | changes == found["model"]
    base = name == "base"
    assert config.training == TrainingConfig(optimizer="lamb" if base else "adamw", weight_decay=0.1)
    images = config.data.max_image_size, config.data.max_image_tokens, config.data.max_text_bytes
    plain = FitConfig().data
    assert images == (
        (224, 4096, 2048) if base else (plain.max_image_size, plain.max_image_tokens, plain.max_text_bytes)
    )


def test_what_is_not_given():
    assert dataclasses.asdict(TableSettings()) == {
        **dict.fromkeys(
            ("label_separator", "split", "encoding", "delimiter", "quoting", "stream", "table_mb", "where")
        ),
        "table": "",
        "target": "",
        "target_kinds": {},
        "columns": {},
        "val_fraction": 0.1,
        "val_draw": "covering",
        "most_rows": {},
        "on_error": "raise",
        "skip_lines": 0,
        "header": True,
        "allow_outside": False,
        "allow_web": [],
        "cache_mb": 2048,
        "cell_mb": 512,
    }
    assert dataclasses.asdict(TrainingConfig()) == {
        **dataclasses.asdict(TrainingSettings()),
        **dict.fromkeys(("steps", "epochs", "batch_size", "validate_every", "validate_rows")),
        "by_length": False,
        "token_dropout": 0.0,
        "modality_dropout": None,
        "head_weight": 0.5,
        "joint_weight": 1.0,
        "word_decay": 10.0,
        "label_smoothing": 0.05,
        "class_weights": "none",
        "choose_by": "suited",
        "choose_from": 20,
        "task_weights": {},
        "num_workers": None,
    }
    whole = FitConfig()
    assert (whole.augment.enabled, whole.augment.mixup) == (True, 0.0)
    assert dataclasses.asdict(whole.start) == {"checkpoint": "", "freeze": [], "lora": 0}
    assert [preset("tiny", table).data.target for table in (*BUILTIN, "mine.csv")] == ["answer"] * 3 + [""]
    with pytest.raises(ValueError, match="preset must be one of 'auto', 'tiny', 'small', 'base'; got 'huge'"):
        preset("huge")


def test_what_may_change_about_a_run_that_goes_on():
    unless_skipped = "data.on_error=raise"
    assert {setting.path: setting.knob.resumable for setting in all_settings(FitConfig) if setting.knob.resumable} == {
        "data.table": True,
        "data.table_mb": True,
        "training.checkpoint_every": True,
        "training.num_workers": True,
        **{
            f"training.{name}": True
            for name in ("accelerator", "devices", "logger", "nodes", "state_dict_type", "strategy")
        },
        **{f"data.{name}": unless_skipped for name in ("allow_outside", "allow_web", "cache_mb", "cell_mb")},
    }


@pytest.mark.parametrize(
    ("path", "allowed", "refused"),
    [
        ("data.skip_lines", [0], [-1]),
        ("data.table_mb", [1], [0]),
        ("data.cache_mb", [0], [-1]),
        ("data.cell_mb", [1], [0]),
        ("data.quoting", ["doubled", "backslash", "none"], ["single"]),
        ("data.on_error", ["raise", "skip"], ["stop"]),
        ("data.val_draw", ["covering", "proportional"], ["all"]),
        ("model.embedding_dim", [1], [0]),
        ("model.style", ["paper", "release"], ["new"]),
        ("training.epochs", [1], [0]),
        ("training.steps", [1], [0]),
        ("training.validate_every", [0], [-1]),
        ("training.validate_rows", [0], [-1]),
        *((f"training.{name}", [0.0, 1.0], [-0.01, 1.01]) for name in ("token_dropout", "modality_dropout")),
        ("training.label_smoothing", [0.0, 1.0], [-0.01, 1.01]),
        ("training.class_weights", ["none", "balanced"], ["even"]),
        ("training.choose_by", ["suited", "plain", "auroc"], ["loss"]),
        ("training.num_workers", [0], [-1]),
        ("augment.mixup", [0.0], [-0.01]),
    ],
)
def test_limits_are_allowed_and_what_is_behind_them_is_not(path, allowed, refused):
    group, name = path.split(".")
    for value in allowed:
        read_settings(FitConfig, {group: {name: value}})
    for value in refused:
        with pytest.raises(ValueError, match=name):
            read_settings(FitConfig, {group: {name: value}})


def test_fine_tuning_needs_something_to_start_from():
    StartConfig(checkpoint="runs/many", freeze=["encoder"], lora=1)
    for given in ({"freeze": ["encoder"]}, {"lora": 1}):
        with pytest.raises(ValueError, match=r"freeze and lora need a checkpoint to start from \(--from\)"):
            StartConfig(**given)


def test_the_choice_knows_whether_classes_count_alike():
    assert TrainingConfig().choice == Choice("suited", balanced=False)
    assert TrainingConfig(choose_by="plain", class_weights="balanced").choice == Choice("plain", balanced=True)
