"""The processes of one training run: which of them this is, and what they agree on.

A *rank* is a process that trains together with others. Whoever starts them says so in the environment, as torchrun
does; srun's variables are read, too. Every rank runs the whole job up to the end of training. Then the first one alone
measures and writes, and the others are done.
"""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from perceiver_pytorch.training.run.settings import AUTO, TrainingSettings

T = TypeVar("T")

_PATIENCE = timedelta(hours=24)  # the others wait for a rank that decodes or saves; one that ended is noticed at once
_GATHERING = timedelta(minutes=5)
_SHARDED_PRECISIONS = ("32-true", "bf16-mixed", "bf16-true", "16-true", "32", "bf16")
_GONE = ("connection closed", "connection reset", "broken pipe", "socket closed", "recv timeout", "no route to host")


class RankGoneError(ChildProcessError):
    """Another rank has ended, so this one cannot go on."""


class ToldByFirstError(ValueError):
    """What stopped the first rank, which says so itself."""


@dataclass(frozen=True)
class Place:
    """Which of the ranks this is.

    Attributes:
        rank: its number, from 0.
        world: how many there are.
        local_rank: its number on this machine.
        local_world: how many are on this machine.
    """

    rank: int
    world: int
    local_rank: int
    local_world: int

    @property
    def nodes(self) -> int:
        """How many machines there are."""
        return self.world // self.local_world

    @classmethod
    def here(cls) -> "Place | None":
        """What the environment says; None: this process is on its own.

        Raises:
            ValueError: if it says something impossible.
        """
        _adopt_slurm()
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        given = {name: os.environ.get(name) for name in names}
        if given["WORLD_SIZE"] in (None, "1") or given["RANK"] is None:
            return None
        given["LOCAL_RANK"] = given["LOCAL_RANK"] or given["RANK"]
        given["LOCAL_WORLD_SIZE"] = given["LOCAL_WORLD_SIZE"] or given["WORLD_SIZE"]
        try:
            rank, world, local, here = (int(str(given[name])) for name in names)
        except ValueError:
            rank, world, local, here = -1, 0, 0, 0
        if not (0 <= rank < world and 0 <= local < here <= world and world % here == 0):
            told = ", ".join(f"{name}={value}" for name, value in given.items())
            raise ValueError(f"these variables do not say which rank this process is: {told}; torchrun sets them")
        return cls(rank, world, local, here)


class _Joined:
    """Of this process: its place, whether the ranks still work together, where they find each other, and how many times
    they did."""

    place: Place | None = None
    together = False
    store: Any = None
    times = 0


def world() -> int:
    """How many ranks train together at this moment; 1 outside of training by several."""
    return _Joined.place.world if _Joined.together and _Joined.place is not None else 1


def rank() -> int:
    """The number of this one; 0 where it is alone."""
    return 0 if _Joined.place is None else _Joined.place.rank


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return rank() == 0


def place() -> Place | None:
    """The place of this process among those that it joined; None: it joined none."""
    return _Joined.place


@contextmanager
def joined(settings: TrainingSettings) -> Iterator[None]:
    """Within the block this process works together with those that were started with it, if there are any.

    Raises:
        ValueError: if their number, or their machines, are other than the settings say.
    """
    found = Place.here()
    check(settings, found)
    if found is None:
        yield
        return
    _start(found, settings)
    try:
        yield
    finally:
        leave()
        _Joined.place = None


def leave() -> None:
    """Ends the common work; from here on `world` is 1, and the first rank goes on alone."""
    from torch import distributed

    if _Joined.together:
        _Joined.together = False
        distributed.destroy_process_group()


def from_first(compute: Callable[[], T]) -> T:
    """What ``compute`` gives in the first rank; it is called nowhere else. An error of it is raised in all of them."""
    if world() == 1:
        return compute()
    from torch import distributed

    message: list[Any] = [None]
    error: Exception | None = None
    if is_first():
        try:
            message = [(compute(), None)]
        except Exception as caught:
            error, message = caught, [(None, str(caught))]
    distributed.broadcast_object_list(message, 0)
    if error is not None:
        raise error
    value, told = message[0]
    if told is not None:
        raise ToldByFirstError(told)
    return value


def after_first() -> None:
    """Called by all ranks at their end: the others wait for the first, which has the result to write."""
    if _Joined.place is None:
        return
    key = f"result {_Joined.times}"
    if is_first():
        _Joined.store.set(key, "written")
    else:
        _Joined.store.wait([key], _PATIENCE)


def of_all(value: T) -> list[T]:
    """The value of each rank."""
    if world() == 1:
        return [value]
    from torch import distributed

    found: list[Any] = [None] * world()
    distributed.all_gather_object(found, value)
    return found


def any_rank(flag: bool) -> bool:
    """Whether it holds in one of them at least; quick enough for every step."""
    if world() == 1:
        return flag
    import torch
    from torch import distributed

    found = torch.tensor(int(flag))
    distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return bool(found)


def check_same(what: str, value: Any) -> None:
    """That all ranks have an equal value.

    Raises:
        ValueError: naming those that have another one than the first.
    """
    found = of_all((value, socket.gethostname()))
    other = [f"rank {number} on {host}" for number, (each, host) in enumerate(found) if each != found[0][0]]
    if other:
        raise ValueError(
            f"{', '.join(other)} found other {what} than rank 0 on {found[0][1]}: every machine needs the same "
            "files, and the same versions of what reads them"
        )


def is_rank_gone(error: BaseException) -> bool:
    """Whether an error says that another rank cannot be reached any more."""
    return isinstance(error, RuntimeError | OSError) and any(words in str(error).lower() for words in _GONE)


@contextmanager
def worded_loss(remedy: str) -> Iterator[None]:
    """Raises a `RankGoneError` where another rank has ended, with a sentence on what to do."""
    try:
        yield
    except Exception as error:
        if world() == 1 or not is_rank_gone(error):
            raise
        raise RankGoneError(f"another rank has ended, so rank {rank()} cannot go on. {remedy}") from error


def asked_ranks(settings: TrainingSettings) -> int:
    """How many ranks the settings ask for, on all machines."""
    return devices_here(settings) * settings.nodes


def devices_here(settings: TrainingSettings) -> int:
    """How many of them this machine has.

    Raises:
        ValueError: for a device that is not there.
    """
    if settings.devices == 1:
        return 1
    gpus = _gpus() if settings.accelerator in ("auto", "gpu", "cuda") else 0
    if settings.devices == "auto":
        return max(1, gpus)
    assert isinstance(settings.devices, int)
    if settings.devices > gpus and (gpus or settings.accelerator in ("gpu", "cuda")):
        raise ValueError(
            f"--devices {settings.devices} are more than the {gpus} GPUs of this machine; give fewer, or "
            "--accelerator cpu"
        )
    return settings.devices


def _gpus() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def check(settings: TrainingSettings, found: Place | None) -> None:
    """That as many processes were started as the settings ask for; 1 leaves it to whoever started them.

    Args:
        settings: of the training.
        found: the place of this process among them; None: it is on its own.

    Raises:
        ValueError: if there are others, or settings that do not go together.
    """
    _check_sharding(settings)
    if found is None:
        if asked_ranks(settings) > 1:
            raise ValueError(
                f"devices={settings.devices} and nodes={settings.nodes} need as many processes: `perceiver fit` starts "
                "those of a machine itself, and torchrun starts any program: torchrun --nproc-per-node "
                f"{devices_here(settings)} SCRIPT.py"
            )
        return
    for name, asked, there, what in (
        ("devices", devices_here(settings), found.local_world, "processes on this machine"),
        ("nodes", settings.nodes, found.nodes, "machines"),
    ):
        if asked not in (1, there):
            raise ValueError(f"--{name} {asked}, but there are {there} {what}; leave it out, or give {there}")
    if settings.batch_size is not None and settings.batch_size < found.world:
        raise ValueError(
            f"--batch-size {settings.batch_size} are fewer rows than the {found.world} ranks that share them; give "
            f"{found.world} or more"
        )


def _check_sharding(settings: TrainingSettings) -> None:
    """That what is asked of shared weights goes together, also where there is but one process: nothing is ignored."""
    if settings.strategy == "fsdp" and settings.precision not in (AUTO, *_SHARDED_PRECISIONS):
        raise ValueError(
            f"--strategy fsdp goes with --precision {', '.join(_SHARDED_PRECISIONS[:4])}, got {settings.precision}: "
            "Lightning has no others for shared weights; --strategy ddp takes all"
        )
    if settings.strategy != "fsdp" and settings.state_dict_type == "sharded":
        raise ValueError(
            "--state-dict-type sharded saves what each rank has of shared weights; with --strategy "
            f"{settings.strategy} each has all of them: give --strategy fsdp, or leave it out"
        )


def _start(found: Place, settings: TrainingSettings) -> None:
    import torch
    from torch import distributed

    backend = "gloo"
    if settings.accelerator != "cpu" and torch.cuda.is_available():
        torch.cuda.set_device(found.local_rank)
        backend = "cpu:gloo,cuda:nccl"
    elif settings.strategy == "fsdp":
        _check_shards_on_cpu()
    try:
        if _Joined.store is None:  # a second one at the same port would wait for the first
            _Joined.store, _, _ = next(distributed.rendezvous("env://", found.rank, found.world, timeout=_GATHERING))
    except (RuntimeError, ValueError) as error:
        where = ":".join(os.environ.get(name, "?") for name in ("MASTER_ADDR", "MASTER_PORT"))
        raise ValueError(
            f"rank {found.rank} of {found.world} did not find the others at {where} within "
            f"{_GATHERING.total_seconds():.0f} s ({error}); start as many with torchrun or srun"
        ) from error
    _Joined.times += 1
    store = distributed.PrefixStore(f"run {_Joined.times}", _Joined.store)
    distributed.init_process_group(backend, store=store, rank=found.rank, world_size=found.world, timeout=_PATIENCE)
    _Joined.place, _Joined.together = found, True


def _check_shards_on_cpu() -> None:
    import torch
    from torch.distributed.fsdp import FSDPModule

    if not hasattr(FSDPModule, "set_force_sum_reduction_for_comms"):  # it takes means of gradients, which gloo does not
        raise ValueError(
            f"--strategy fsdp on a CPU needs a newer PyTorch than {torch.__version__}; --strategy ddp trains the same"
        )


def _adopt_slurm() -> None:
    """Says in torchrun's variables what srun says in its own."""
    tasks = os.environ.get("SLURM_STEP_NUM_TASKS") or os.environ.get("SLURM_NTASKS")
    if "RANK" in os.environ or "SLURM_PROCID" not in os.environ or tasks in (None, "1"):
        return
    from lightning.fabric.plugins.environments import SLURMEnvironment

    nodes = os.environ.get("SLURM_STEP_NUM_NODES") or os.environ.get("SLURM_NNODES") or "1"
    local = int(str(tasks)) // int(nodes)
    address = os.environ.get("MASTER_ADDR") or SLURMEnvironment.resolve_root_node_address(
        os.environ.get("SLURM_STEP_NODELIST") or os.environ.get("SLURM_NODELIST", "127.0.0.1")
    )
    job = os.environ.get("SLURM_JOB_ID", "")
    os.environ |= {
        "RANK": os.environ["SLURM_PROCID"],
        "WORLD_SIZE": str(tasks),
        "LOCAL_RANK": os.environ.get("SLURM_LOCALID", "0"),
        "LOCAL_WORLD_SIZE": str(local),
        "MASTER_ADDR": address,
        "MASTER_PORT": os.environ.get("MASTER_PORT") or str(15000 + int(job[-4:] or 0)),
    }
