"""Parts of a model that training leaves as they are, and LoRA."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from torch import Tensor, nn
from torch.nn.utils import parametrize

from perceiver_pytorch.nn.block import AttentionBlock
from perceiver_pytorch.nn.cross_attend import CrossAttend

PARTS = ("encoder", "embeddings", "latents")
_HEADS = ("to_logits.", "heads.")
_SCALE = 2  # of what adapters add


class LowRank(nn.Module):
    """A weight ``(out, in)`` with the product of two thin matrices added, which starts as nothing."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        self.lora_A = nn.Parameter(nn.init.kaiming_uniform_(weight.new_empty(rank, weight.shape[1]), a=5**0.5))
        self.lora_B = nn.Parameter(weight.new_zeros(weight.shape[0], rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + _SCALE * (self.lora_B @ self.lora_A)


def freeze(model: nn.Module, patterns: Sequence[str]) -> None:
    """Freezes the parameters that a pattern names.

    Args:
        model: of a run.
        patterns: ``encoder`` (all but the head), ``embeddings``, ``latents``, or names of parameters with ``*`` and
            ``?``, such as ``layers.0.*``.

    Raises:
        ValueError: a pattern names nothing, or all is frozen.
    """
    names = [name for name, _ in model.named_parameters()]
    for pattern in patterns:
        chosen = {name for name in names if _names(pattern, name)}
        if not chosen:
            raise ValueError(
                f"--freeze {pattern} names no weight; it takes {', '.join(PARTS)}, or names with * such as layers.0.*; "
                f"the weights are {', '.join(names[:6])}, .."
            )
        for name, parameter in model.named_parameters():
            if name in chosen:
                parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(f"--freeze {', '.join(patterns)} leaves nothing to train")


def add_lora(model: nn.Module, rank: int, fresh: Iterable[str]) -> None:
    """Freezes a model but for its head and what is ``fresh``, and gives its linear layers LoRA adapters (Hu et al.
    2021, arXiv 2106.09685) of a rank, scaled by 2.

    Layers that are called are adapted by peft. Keys and values of cross-attends are never formed, their weights are
    read: there the weight itself is the sum.

    Raises:
        ImportError: peft is missing.
        ValueError: there is no layer to adapt.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        remedy = 'pip install "perceiver-multi-modality-pytorch[lora]"'
        raise ImportError(f"peft is needed for --lora and could not be imported ({error}): {remedy}") from error
    names = _adaptable(model)
    if not names:
        raise ValueError("--lora found no linear layer to adapt")
    trained = set(fresh) | {name for name, _ in model.named_parameters() if is_head(name)}
    kept = {name for name, parameter in model.named_parameters() if name in trained and parameter.requires_grad}
    read = [layer for name, layer in _weights_read(model).items() if f"{name}.weight" not in kept]
    config = LoraConfig(r=rank, lora_alpha=_SCALE * rank, target_modules=names)
    inject_adapter_in_model(config, model)
    for layer in read:
        parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, rank))
    for name, parameter in model.named_parameters():
        plain = name.replace(".base_layer.", ".").replace(".parametrizations.weight.original", ".weight")
        parameter.requires_grad_("lora_" in name or plain in kept)


def merge_lora(model: nn.Module) -> None:
    """Adds the adapters to the weights that they adapt, and removes them; nothing changes without adapters."""
    adapted = [
        (name, module)
        for name, module in model.named_modules()
        if hasattr(module, "lora_A") and hasattr(module, "merge")
    ]
    for name, module in adapted:
        module.merge()
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, module.get_base_layer())
    for module in list(model.modules()):
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")


def is_head(name: str) -> bool:
    """Whether a parameter of that name belongs to a head."""
    return name.startswith(_HEADS) or ".heads." in name


def is_in_encoder(name: str) -> bool:
    """Whether a parameter of that name is neither a head's nor of what asks the latents for its input."""
    return not (is_head(name) or name == "queries" or name.startswith("decoder."))


def _names(pattern: str, name: str) -> bool:
    plain = name.removeprefix("encoder.")
    if pattern == "encoder":
        return is_in_encoder(name)
    if pattern == "embeddings":
        of_words = plain.startswith("stems.") and plain.endswith(".table.weight")
        return of_words or plain.startswith("embeddings.") or ".embedding." in name
    if pattern == "latents":
        return plain == "latents" or plain.startswith("latents.")
    return fnmatchcase(name, pattern) or fnmatchcase(plain, pattern)


def _adaptable(model: nn.Module) -> list[str]:
    """Names of the linear layers that are called, heads aside."""
    read = {id(layer) for layer in _weights_read(model).values()}
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and id(module) not in read and not is_head(name + ".")
    ]


def _weights_read(model: nn.Module) -> dict[str, nn.Linear]:
    """Linear layers whose weights are taken without calling the layer, by name."""
    found: dict[str, nn.Linear] = {}
    for name, module in model.named_modules():
        if isinstance(module, CrossAttend):
            found[f"{name}.fn.to_kv"] = module.fn.to_kv
        elif isinstance(module, AttentionBlock) and module.norm_context is not None:
            found |= {f"{name}.to_k": module.to_k, f"{name}.to_v": module.to_v}
    return found
