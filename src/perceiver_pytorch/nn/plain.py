"""Whether a module's weights may be read instead of calling it.

Cross-attends fold the weights of their context's norm and projections into the latents, and never call these modules.
Libraries change what a module does by putting another in its place, by hooks, or by a ``forward`` of its own: adapters,
pruning, offloading, sharding. Such a module is called.
"""

from torch import Tensor, nn
from torch.nn.modules.module import (
    _global_backward_hooks,
    _global_backward_pre_hooks,
    _global_forward_hooks,
    _global_forward_pre_hooks,
)
from torch.nn.utils import parametrize

from perceiver_pytorch._execution import is_ordinary
from perceiver_pytorch.nn.linear import Linear

_KINDS = (Linear, nn.Linear, nn.LayerNorm, nn.Embedding, nn.Conv2d)


def is_plain(module: nn.Module, *kinds: type[nn.Module]) -> bool:
    """Whether a call of ``module`` does what its class does with the weights that it has, and nothing else.

    Weights under `torch.nn.utils.parametrize` are plain: whoever reads them gets what the parametrisation makes.

    Args:
        kinds: classes that count; default: those whose weights this package reads.
    """
    return _is_one_of(module, kinds or _KINDS) and not has_hooks(module)


def is_as_made(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a module is of this very class, and nobody follows its calls or gave it a ``forward`` of its own."""
    return type(module) is kind and "forward" not in module.__dict__ and not has_hooks(module)


def has_hooks(module: nn.Module) -> bool:
    """Whether anybody follows the calls of ``module``, or of all modules."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or _global_forward_hooks
        or _global_forward_pre_hooks
        or _global_backward_hooks
        or _global_backward_pre_hooks
    )


def weight_of(name: str, embedding: nn.Module) -> Tensor:
    """The weight of ``embedding``, if it may be read besides calling it, as an output that is tied to it does.

    Raises:
        TypeError: if it is no embedding of PyTorch's, or has a ``forward`` of its own.
    """
    if isinstance(embedding, nn.Embedding) and _is_one_of(embedding, (nn.Embedding,)):
        return embedding.weight
    raise TypeError(
        f"{name} must be an nn.Embedding with its own forward, since the output is made of its weights; got "
        f"{type(embedding).__name__}. Leave it out (peft: exclude_modules; FSDP: shard the whole model; accelerate: "
        "preload_module_classes with the model's class), or change the weight itself by torch.nn.utils.parametrize"
    )


def held(name: str, parameter: Tensor, data: Tensor) -> Tensor:
    """``parameter`` of a list, which nobody calls, if it is there to be read.

    Raises:
        TypeError: if it is sharded, or on the meta device, where ``data`` is not.
    """
    if is_ordinary(parameter) and (data.is_meta or not parameter.is_meta):
        return parameter
    where = "the meta device" if parameter.is_meta else f"a {type(parameter).__name__}"
    raise TypeError(
        f"{name} must be whole and on the device of the data, got it on {where}: lists of parameters are never called, "
        "so nobody can gather or load them. FSDP: shard the model, not the list; accelerate: preload_module_classes "
        "with the model's class"
    )


def _is_one_of(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> bool:
    kind = type(module)
    if kind not in kinds and not (kind.__base__ in kinds and _is_parametrised(module)):
        return False
    if "forward" in module.__dict__:
        return False
    return all(map(is_ordinary, module._parameters.values()))


def _is_parametrised(module: nn.Module) -> bool:
    return parametrize.is_parametrized(module) and type(module).__name__.startswith("Parametrized")
