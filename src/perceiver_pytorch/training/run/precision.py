"""The precision that a run trains in where its settings leave that open."""

import torch

from perceiver_pytorch.training.run.ranks import world
from perceiver_pytorch.training.run.settings import AUTO, TrainingSettings

FULL, HALF = "32-true", "bf16-mixed"


def precision_of(settings: TrainingSettings, *, gains: bool) -> str:
    """Lightning's name of it: what is asked for; of ``auto`` bfloat16 where a model ``gains`` by that.

    Weights, norms and what reads raw data stay in float32. Ranks may have different processors, so where there are
    several, or will be, they compute in float32.
    """
    if settings.precision != AUTO:
        return settings.precision
    on_cpu = settings.accelerator == "cpu" or (settings.accelerator == AUTO and not torch.accelerator.is_available())
    alone = world() == settings.devices == settings.nodes == 1
    return HALF if gains and on_cpu and alone else FULL
