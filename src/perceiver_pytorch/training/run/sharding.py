"""Weights that ranks share: each keeps a part of every one, and all of them come together where a model computes.

PyTorch's ``fully_shard`` (FSDP2) does it. Parts that every forward calls gather their weights when it comes to them. Of
what is left a rank may use other weights than another; these are gathered once for a whole forward.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from perceiver_pytorch.training.run.ranks import any_rank, is_first

T = TypeVar("T")
_GATHERING = "_gathering"


class Sharded:
    """A model whose weights are spread over the ranks from now on.

    Args:
        model: with the same weights in every rank; changed in place.
        mesh: of the ranks.
    """

    def __init__(self, model: nn.Module, mesh: Any) -> None:
        from torch.distributed.fsdp import FSDPModule, fully_shard

        _same_weights(model)
        # Lists of its parts and ties between its weights are those of a model that was never sharded.
        self._empty = copy.deepcopy(model, {id(p): _on_meta(p) for p in model.parameters()})
        self.model = model
        gathering = _Gathering(model)
        for part in [part for part in model.modules() if getattr(part, "always_called", False)]:
            fully_shard(part, mesh=mesh)
        fully_shard(gathering, mesh=mesh, reshard_after_forward=True)
        for part in gathering.modules():
            if isinstance(part, FSDPModule) and mesh.device_type == "cpu":
                part.set_force_sum_reduction_for_comms(True)  # gloo takes no means
        model.__dict__[_GATHERING] = gathering  # no part of the model

    def whole(self) -> nn.Module:
        """An ordinary model with these weights, on the CPU; in ranks but the first one without any."""
        state = {name: gathered(value) for name, value in self.model.state_dict(keep_vars=True).items()}
        if not is_first():
            return self._empty
        names = dict(self._empty.named_parameters())
        weights = {id(p): nn.Parameter(state[name], p.requires_grad) for name, p in names.items()}
        model = copy.deepcopy(self._empty, weights)
        model.load_state_dict(state)
        return model


class _Gathering(nn.Module):
    """Computes with a model whose weights are there while it does, but for those of parts that gather their own."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.computing = False

    def forward(self, compute: Callable[[], Any]) -> Any:
        self.computing = True
        try:
            found = compute()
        finally:
            self.computing = False
        return self._reaching(found) if torch.is_grad_enabled() and isinstance(found, tuple) else found

    def _reaching(self, found: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The same results, which reach every weight that the results of any rank reach: ranks add up gradients of the
        same weights, and a modality may be missing from all rows of one of them."""
        whole = [p for p in self.model.parameters() if p.requires_grad and not is_part(p)]
        known = {id(weight) for weight in reached(found)}
        flags = [id(weight) in known for weight in whole]
        needed = _of_any_rank(flags, whole[0].device) if whole else []
        missing = [weight for weight, here, there in zip(whole, flags, needed, strict=True) if there and not here]
        first, *others = (result.clone() for result in found)  # PyTorch hangs its hooks on results that are no views
        return (_Touching.apply(first, *missing) if missing else first, *others)


class _Touching(torch.autograd.Function):
    """Gives weights that did not take part a gradient of zero."""

    @staticmethod
    def forward(ctx: Any, result: Tensor, *weights: Tensor) -> Tensor:
        ctx.weights = [(weight.shape, weight.dtype, weight.device) for weight in weights]
        return result.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        return (*gradients, *(torch.zeros(shape, dtype=dtype, device=device) for shape, dtype, device in ctx.weights))


def is_sharded(model: nn.Module) -> bool:
    """Whether ranks share the weights of a model."""
    return _GATHERING in model.__dict__


def with_weights(model: nn.Module, compute: Callable[[], T]) -> T:
    """What ``compute`` gives, for which a model's weights are there.

    All ranks call it equally often. Gradients flow where it gives a tuple of tensors.
    """
    gathering = model.__dict__.get(_GATHERING)
    if gathering is None or gathering.computing:
        return compute()
    found: T = gathering(compute)
    return found


def reached(results: Sequence[Tensor]) -> list[Tensor]:
    """The leaves that results depend on and that take gradients."""
    nodes = [result.grad_fn for result in results if result.grad_fn is not None]
    seen, found = set(nodes), []
    while nodes:
        for node, _ in nodes.pop().next_functions:
            if node is not None and node not in seen:
                seen.add(node)
                nodes.append(node)
                if (leaf := getattr(node, "variable", None)) is not None:
                    found.append(leaf)
    return found


def is_part(tensor: Any) -> bool:
    """Whether ranks share a tensor."""
    return hasattr(tensor, "full_tensor")


def own_part(tensor: Tensor) -> Tensor:
    """What this rank has of a tensor, as a view: all of one that is not shared."""
    return tensor.to_local() if is_part(tensor) else tensor  # type: ignore[attr-defined]


def gathered(tensor: Tensor) -> Tensor:
    """All of a tensor, on the CPU where ranks share it. All of them call it."""
    if not is_part(tensor):
        return tensor.detach()
    whole: Tensor = tensor.detach().full_tensor()  # type: ignore[attr-defined]
    return whole.cpu().clone()  # it may be a view of a longer one


def part_like(whole: Tensor, like: Tensor) -> Tensor:
    """This rank's part of a tensor that all ranks have, divided as ``like`` is; where that is not shared, the tensor on
    the device of ``like``.

    Raises:
        ValueError: if the shapes differ.
    """
    if not is_part(like) or is_part(whole):
        return whole.to(like.device)
    if whole.shape != like.shape:
        raise ValueError(f"a tensor must have the shape {tuple(like.shape)}, got {tuple(whole.shape)}")
    mesh = like.device_mesh  # type: ignore[attr-defined]
    parts = whole.chunk(mesh.size())
    rank = mesh.get_local_rank()
    return shared(parts[rank] if rank < len(parts) else whole[:0], whole.shape, mesh)


def shared(part: Tensor, shape: Sequence[int], mesh: Any) -> Tensor:
    """The tensor ``shape`` of which this rank has a part, rows of its first axis."""
    from torch.distributed.tensor import DTensor, Shard

    strides = torch.empty(tuple(shape), device="meta").stride()
    part = part.to(mesh.device_type).contiguous().clone()
    return DTensor.from_local(part, mesh, [Shard(0)], run_check=False, shape=torch.Size(shape), stride=strides)


def in_any_rank(flag: bool, tensors: Sequence[Any]) -> bool:
    """Whether something holds for the parts that any rank has of tensors; as it is where they are not shared."""
    return any_rank(flag) if any(map(is_part, tensors)) else flag


def _of_any_rank(flags: list[bool], device: torch.device) -> list[bool]:
    from torch import distributed

    found = torch.tensor(flags, dtype=torch.int32, device=device)
    distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return [bool(flag) for flag in found.tolist()]


def _same_weights(model: nn.Module) -> None:
    """Gives all ranks the weights and buffers of the first one, as DistributedDataParallel does."""
    from torch import distributed

    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            carried = tensor.detach().to(torch.uint8) if tensor.dtype == torch.bool else tensor.detach()
            distributed.broadcast(carried, 0)
            tensor.copy_(carried)


def _on_meta(weight: nn.Parameter) -> nn.Parameter:
    return nn.Parameter(torch.empty_like(weight, device="meta"), weight.requires_grad)
