import math

import pytest

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
        ({"precision": "8-bit"}, "precision must be one of '32-true', 'bf16-mixed', '16-mixed', .* got '8-bit'"),
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
