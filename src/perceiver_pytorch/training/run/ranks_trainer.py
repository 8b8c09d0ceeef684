"""What Lightning's Trainer is told about devices, processes and machines."""

from collections.abc import Sequence
from typing import Any

from perceiver_pytorch.training.run.ranks import place, world
from perceiver_pytorch.training.run.settings import TrainingSettings


def trainer_options(settings: TrainingSettings, precision: str, plugins: Sequence[Any] = ()) -> dict[str, Any]:
    """Arguments of a Trainer that works together with those of the other ranks, if there are any at this moment."""
    from lightning.pytorch.plugins.environments import LightningEnvironment, TorchElasticEnvironment

    common = {"accelerator": settings.accelerator, "precision": precision}
    here = place()
    if here is None or world() == 1:
        return {**common, "devices": 1, "plugins": [LightningEnvironment(), *plugins]}
    return {
        **common,
        "devices": here.local_world,
        "num_nodes": here.nodes,
        "strategy": _strategy(settings),
        "plugins": [TorchElasticEnvironment(), *plugins],
        "use_distributed_sampler": False,
        "inference_mode": settings.strategy != "fsdp",  # what is gathered there could not be trained with
    }


def _strategy(settings: TrainingSettings) -> Any:
    from lightning.pytorch.strategies import DDPStrategy

    if settings.strategy == "fsdp":
        from perceiver_pytorch.training.run.sharded_strategy import ShardedStrategy

        return ShardedStrategy(sharded_checkpoints=settings.state_dict_type == "sharded")
    # A step may use other weights in each rank: a modality may be missing from all of its rows.
    return DDPStrategy(find_unused_parameters=True)
