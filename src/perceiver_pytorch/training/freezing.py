"""Parts of a model that training leaves as they are, and LoRA."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from torch import nn

from perceiver_pytorch.nn.block import AttentionBlock
from perceiver_pytorch.nn.cross_attend import CrossAttend

PARTS = ("encoder", "embeddings", "latents")
_HEADS = ("to_logits.", "heads.")


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

    Keys and values of cross-attends have none: they are never formed, their weights are read as they are.

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
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=names)
    inject_adapter_in_model(config, model)
    for name, parameter in model.named_parameters():
        plain = name.replace(".base_layer.", ".")
        parameter.requires_grad_("lora_" in name or plain in kept)


def merge_lora(model: nn.Module) -> None:
    """Adds the adapters to the weights that they adapt, and removes them; nothing changes without adapters."""
    adapted = [(name, module) for name, module in model.named_modules() if hasattr(module, "lora_A")]
    for name, module in adapted:
        module.merge()
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, module.get_base_layer())


def is_head(name: str) -> bool:
    """Whether a parameter of that name belongs to a head."""
    return name.startswith(_HEADS) or ".heads." in name


def _names(pattern: str, name: str) -> bool:
    plain = name.removeprefix("encoder.")
    if pattern == "encoder":
        return not is_head(name)
    if pattern == "embeddings":
        return plain.startswith("embeddings.") or ".embedding." in name
    if pattern == "latents":
        return plain == "latents" or plain.startswith("latents.")
    return fnmatchcase(name, pattern) or fnmatchcase(plain, pattern)


def _adaptable(model: nn.Module) -> list[str]:
    """Names of the linear layers that are called, heads aside."""
    read = {
        id(part)
        for module in model.modules()
        if isinstance(module, CrossAttend | AttentionBlock)
        for part in _weights_read(module)
    }
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and id(module) not in read and not is_head(name + ".")
    ]


def _weights_read(module: CrossAttend | AttentionBlock) -> list[nn.Module]:
    """Linear layers whose weights are taken without calling the layer."""
    if isinstance(module, CrossAttend):
        return [module.fn.to_kv]
    parts: list[nn.Module] = [module.to_k, module.to_v]
    return parts
