"""One sample's input split over processes, each of which holds and reads a part of its tokens.

Every process has the whole model and the same latents. In each cross-attend it attends to its own tokens, and the
processes join what they found (`perceiver_pytorch.ops.split`): results and gradients are those of one process that has
everything.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed import DeviceMesh, ProcessGroup

from perceiver_pytorch.models.modalities import Coordinates
from perceiver_pytorch.ops import split


@contextlib.contextmanager
def split_input(over: ProcessGroup | DeviceMesh | None = None) -> Iterator[None]:
    """Within the block models read this process' part of every sample, and give the result of all parts.

    All processes run the same model on the same batch of samples, in the same order, with the same random numbers. Each
    has the same result, and in the backward pass gradients of the sum of all processes' losses: wrap the model in
    ``DistributedDataParallel``, or call `average_gradients`, and they are those of the loss.

    Args:
        over: the processes; a mesh of one dimension; None: all.

    Raises:
        RuntimeError: if `torch.distributed` has not been initialised.
        ValueError: for a mesh of several dimensions.

    Example::

        inputs, masks, places = part({"video": film, "sound": sound})
        with split_input():
            loss = F.cross_entropy(parallel_model(inputs, masks, coordinates=places), labels)
            loss.backward()
    """
    with split.over(_group(over)):
        yield


def part(
    inputs: Mapping[str, Tensor],
    mask: Mapping[str, Tensor] | None = None,
    coordinates: Mapping[str, Coordinates] | None = None,
    *,
    over: ProcessGroup | DeviceMesh | None = None,
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Coordinates]]:
    """This process' part of inputs that it holds as a whole: what a model is to be called with within `split_input`.

    The first axis of each modality is cut into stretches whose lengths differ by one at most. An input that does not
    fit in memory is never held: read the stretch ``start, stop = stretch(length, rank, world)`` yourself, and tell
    where it is by the coordinates ``torch.linspace(-1, 1, length)[start:stop]``.

    Args:
        inputs: per modality ``(batch, *axes, channels)`` or token ids; views of them are returned.
        mask: per modality ``(batch, *axes)`` bool, True = attend.
        coordinates: per modality as in the model's forward.
        over: the processes, as in `split_input`.

    Returns:
        Inputs, masks and coordinates of the part. A process beyond the end of an input that is shorter than there are
        processes gets one masked token of it.

    Raises:
        RuntimeError, ValueError: as `split_input`.
    """
    group = _group(over)
    rank, world = distributed.get_rank(group), distributed.get_world_size(group)
    parts: dict[str, Tensor] = {}
    masks: dict[str, Tensor] = {}
    places: dict[str, Coordinates] = {}
    for name, data in inputs.items():
        length = data.shape[1]
        start, stop = stretch(length, rank, world)
        is_beyond = start == stop
        start, stop = (length - 1, length) if is_beyond else (start, stop)
        parts[name] = data[:, start:stop]
        given = (mask or {}).get(name)
        if is_beyond:
            num_axes = 1 if data.dim() == 2 else data.dim() - 2
            masks[name] = torch.zeros(parts[name].shape[: 1 + num_axes], dtype=torch.bool, device=data.device)
        elif given is not None:
            masks[name] = given[:, start:stop]
        axes = list((coordinates or {}).get(name) or [None] * max(1, data.dim() - 2))
        first = torch.linspace(-1.0, 1.0, length, device=data.device) if axes[0] is None else axes[0]
        axes[0] = first[start:stop] if first.dim() == 1 else first[:, start:stop]
        places[name] = axes
    return parts, masks, places


def stretch(length: int, rank: int, world: int) -> tuple[int, int]:
    """Where the part of process ``rank`` of ``world`` begins and ends on an axis."""
    return length * rank // world, length * (rank + 1) // world


def average_gradients(model: nn.Module, over: ProcessGroup | DeviceMesh | None = None) -> None:
    """Averages the gradients over the processes, which makes them those of the loss: for a model that is not wrapped in
    ``DistributedDataParallel``. A parameter counts with zero where a process has no gradient of it.

    Args:
        model: whose parameters' ``grad`` changes.
        over: the processes, as in `split_input`.

    Raises:
        RuntimeError, ValueError: as `split_input`.
    """
    group = _group(over)
    trained: Sequence[nn.Parameter] = [p for p in model.parameters() if p.requires_grad]
    for parameter in trained:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    for grads in _by_dtype([p.grad for p in trained if p.grad is not None]):
        flat = torch.cat([grad.flatten() for grad in grads])
        distributed.all_reduce(flat, group=group)
        flat /= distributed.get_world_size(group)
        for grad, mean in zip(grads, flat.split([grad.numel() for grad in grads]), strict=True):
            grad.copy_(mean.view_as(grad))


def _by_dtype(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    found: dict[Any, list[Tensor]] = {}
    for tensor in tensors:
        found.setdefault((tensor.dtype, tensor.device), []).append(tensor)
    return list(found.values())


def _group(over: ProcessGroup | DeviceMesh | None) -> ProcessGroup:
    """The processes as a group.

    Raises:
        RuntimeError, ValueError: as `split_input`.
    """
    if not distributed.is_initialized():
        raise RuntimeError(
            "an input is split over the processes of torch.distributed, which has not been initialised: call "
            "torch.distributed.init_process_group first, or start the program by torchrun"
        )
    if over is None:
        group = distributed.group.WORLD
        assert group is not None
        return group
    if not isinstance(over, DeviceMesh):
        return over
    if over.ndim != 1:
        raise ValueError(
            f"a mesh to split an input over must have one dimension, got {over.ndim}; choose one by mesh['name']"
        )
    return over.get_group()
