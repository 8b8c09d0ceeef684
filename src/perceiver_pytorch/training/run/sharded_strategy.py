"""Lightning's strategy for weights that ranks share, with this package's checkpoints: whole, and no code in them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.strategies import ModelParallelStrategy
from torch.optim import Optimizer

from perceiver_pytorch.training.run.checkpoints import read_checkpoint
from perceiver_pytorch.training.run.ranks import from_first, is_first, of_all, rank, world
from perceiver_pytorch.training.run.sharding import gathered, is_part, own_part, part_like, shared
from perceiver_pytorch.training.run.shards import (
    SHARDS,
    changed,
    filled,
    joined_shards,
    next_folder,
    parted,
    read_shard,
    remove_unnamed,
    shard_files,
    write_shard,
)

_SHARED_DISK = "--state-dict-type sharded needs a run folder on a disk that all machines share; full does not"


class ShardedStrategy(ModelParallelStrategy):
    """Weights, their gradients and the optimiser's state are spread over all ranks (``fully_shard``), by the module's
    ``configure_model``.

    Args:
        sharded_checkpoints: every rank writes what it has; else the first one writes all of it into one file, as of a
            run that shares no weights.
    """

    def __init__(self, *, sharded_checkpoints: bool) -> None:
        super().__init__(
            data_parallel_size=world(), tensor_parallel_size=1, save_distributed_checkpoint=sharded_checkpoints
        )
        self.sharded_checkpoints = sharded_checkpoints

    @property
    def lightning_restore_optimizer(self) -> bool:
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        assert self.lightning_module is not None
        return self.lightning_module.state_dict()

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        return optimizer.state_dict()

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        """Writes it, in the form that was asked for; all ranks call it."""
        path = Path(filepath)
        checkpoint = _with_shards(checkpoint, path) if self.sharded_checkpoints else changed(checkpoint, _for_first)
        if is_first():
            self.checkpoint_io.save_checkpoint(checkpoint, path)
            remove_unnamed(path.parent)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Reads it, in either form; of as many shards as there are ranks each reads its own."""
        return read_checkpoint(Path(checkpoint_path), join=self._own_shard)

    def _own_shard(self, checkpoint: Mapping[str, Any], path: Path) -> dict[str, Any]:
        if len(shard_files(checkpoint, path)) != world():
            return joined_shards(checkpoint, path)
        parts, mesh = read_shard(checkpoint, path, rank()), self.device_mesh["data_parallel"]
        return filled(checkpoint, lambda number, shape: shared(parts[str(number)], shape, mesh))

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        module = self.lightning_module
        assert module is not None
        own, state = module.state_dict(), checkpoint["state_dict"]
        parts = {name: part_like(value, own[name]) if name in own else value for name, value in state.items()}
        module.load_state_dict(parts, strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            weights = [weight for group in optimizer.param_groups for weight in group["params"]]

            def part(number: int, value: Any, weights: list[Any] = weights) -> Any:
                weight = weights[number]
                return part_like(value, weight) if getattr(value, "shape", None) == weight.shape else value

            kept = state["state"].items()
            parts = {number: {name: part(number, each) for name, each in values.items()} for number, values in kept}
            optimizer.load_state_dict({**state, "state": parts})


def _for_first(leaf: Any) -> Any:
    """All of a shared tensor, in the first rank; the others help to gather it."""
    if not is_part(leaf):
        return leaf
    whole = gathered(leaf)
    return whole if is_first() else None


def _with_shards(checkpoint: dict[str, Any], path: Path) -> dict[str, Any]:
    """Writes this rank's shard; gives the checkpoint with the names of all of them.

    Raises:
        ValueError: if the first rank does not see what others have written, or others lack the folder; in all ranks.
    """
    folder = from_first(lambda: next_folder(path, int(checkpoint["global_step"])))
    there = of_all(path.parent.is_dir())
    if any(there) and not all(there):
        ranks = ", ".join(str(number) for number, found in enumerate(there) if not found)
        raise ValueError(f"{path.parent} is not there for the ranks {ranks}: {_SHARED_DISK}")
    rest, tensors = parted(checkpoint, is_part)
    written = write_shard(path, folder, rank(), world(), [own_part(tensor) for tensor in tensors])
    rest[SHARDS] = {"folder": folder, "checksums": of_all(written)}
    missing = from_first(lambda: [file.name for file in shard_files(rest, path) if not file.is_file()])
    if missing:
        raise ValueError(
            f"{path.parent / SHARDS / folder} lacks {', '.join(missing)}, which other ranks wrote: {_SHARED_DISK}"
        )
    return rest
