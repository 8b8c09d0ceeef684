import dataclasses
import math

import pytest

from perceiver_pytorch._settings import all_settings
from perceiver_pytorch.training.run.settings import TrainingSettings


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"optimizer": "sgd"}, "optimizer must be one of 'adamw', 'lamb'; got 'sgd'"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"seed": 1 << 32}, r"seed must be less than 2\^32, got 4294967296"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"lr": math.nan}, "lr must be at least 0, got nan"),
        ({"lr": math.inf}, "lr must be finite, got inf"),
        (
            {"precision": "8-bit"},
            "precision must be one of 'auto', '32-true', 'bf16-mixed', .* got '8-bit'",
        ),
        ({"warmup": 1.5}, "warmup must lie between 0 and 1, got 1.5"),
        ({"patience": -1}, "patience must be at least 0, got -1"),
        ({"checkpoint_every": "soon"}, "checkpoint_every must be like 5m, 200 steps or never, got 'soon'"),
    ],
)
def test_what_no_training_can_use_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        TrainingSettings(**given)


@pytest.mark.parametrize("every", ["never", "5m", "1h30m", "200 steps", "1 step"])
def test_checkpoints_are_due_after_a_time_or_some_steps(every):
    assert TrainingSettings(checkpoint_every=every).checkpoint_every == every


def test_what_is_not_given():
    assert dataclasses.asdict(TrainingSettings()) == {
        "batch_size": 64,
        "optimizer": "adamw",
        "lr": None,
        "weight_decay": 0.1,
        "warmup": 0.05,
        "min_lr": 0.01,
        "gradient_clip": 1.0,
        "average": 0.99,
        "patience": None,
        "checkpoint_every": "5m",
        "logger": "tensorboard",
        "seed": 0,
        "precision": "auto",
        "accelerator": "auto",
        "devices": 1,
        "nodes": 1,
        "strategy": "ddp",
        "state_dict_type": "full",
    }
    resumable = {setting.name for setting in all_settings(TrainingSettings) if setting.knob.resumable}
    assert resumable == {"checkpoint_every", "logger", "accelerator", "devices", "nodes", "strategy", "state_dict_type"}


@pytest.mark.parametrize("devices", [1, 4, "auto"])
def test_devices_are_a_number_or_all_there_are(devices):
    assert TrainingSettings(devices=devices).devices == devices


@pytest.mark.parametrize("devices", [0, -1, "2", "all"])
def test_other_devices_are_refused(devices):
    with pytest.raises(ValueError, match="devices must be a number of 1 or more, or auto"):
        TrainingSettings(devices=devices)


@pytest.mark.parametrize(
    ("name", "least", "most", "step"),
    [
        ("batch_size", 1, None, 1),
        ("lr", 0.0, None, 0.01),
        ("weight_decay", 0.0, None, 0.01),
        ("warmup", 0.0, 1.0, 0.01),
        ("min_lr", 0.0, 1.0, 0.01),
        ("gradient_clip", 0.0, None, 0.01),
        ("patience", 0, None, 1),
        ("seed", 0, (1 << 32) - 1, 1),
    ],
)
def test_limits_are_allowed_and_what_is_behind_them_is_not(name, least, most, step):
    TrainingSettings(**{name: least})
    with pytest.raises(ValueError, match=name):
        TrainingSettings(**{name: least - step})
    if most is not None:
        TrainingSettings(**{name: most})
        with pytest.raises(ValueError, match=name):
            TrainingSettings(**{name: most + step})
