"""Checkpoints of release 1.4.0 and of perceiver-pytorch 0.11.0: state dicts in ``.pt`` files."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import perceiver_pytorch
from perceiver_pytorch._checks import some_of
from perceiver_pytorch._saved_files import DamagedFileError, MissingFileError, read_tensors
from perceiver_pytorch.interop.array_perceiver_io import ArrayPerceiverIO, TokenPerceiverIO
from perceiver_pytorch.interop.key_map import Rule, translate
from perceiver_pytorch.models.saving import on_meta
from perceiver_pytorch.models.style import Style

INSIDE = ("state_dict", "model_state_dict", "model", "net", "weights")
"""Under what name a checkpoint that is a dictionary of several things has its weights."""
PREFIXES = ("module.", "_orig_mod.", "model.")
"""What wrappers put before every name."""
_HALVES = ("to_k.weight", "to_v.weight")


@dataclass(frozen=True)
class Kind:
    """One kind of checkpoint.

    Args:
        sign: a name that its state dicts have, and others have not.
        origin: whose it is.
        model: class of ours, where it is known by the kind.
        rules: its names and ours; empty where they are the same.
        infer: constructor arguments that shapes tell.
    """

    sign: str
    origin: str
    model: Callable[..., nn.Module] | None
    rules: tuple[Rule, ...]
    infer: Callable[[Mapping[str, Tensor]], dict[str, Any]]


def load(path: str | Path, *, model: str | None = None, **arguments: Any) -> nn.Module:
    """A checkpoint of release 1.4.0 or perceiver-pytorch 0.11.0 as a model of ours, with the same outputs.

    Args:
        path: file that ``torch.save`` wrote: a state dict, or a dictionary that holds one. Nothing else is unpickled.
        model: class of ours for a checkpoint of release 1.4.0, such as ``"MultiModalityPerceiver"``; default: what the
            names of the weights tell.
        **arguments: constructor arguments, by their names there. Those that shapes tell may be left out (depth,
            latents, classes, tied layers …); ``max_freq``, ``modalities`` and numbers of heads other than the defaults
            cannot be seen.

    Returns:
        The model, in evaluation mode.

    Raises:
        DamagedFileError: for a file that is no checkpoint.
        ValueError, TypeError: for one of another library, missing arguments, or weights that do not fit them.
    """
    return from_state_dict(read(path), model=model, where=str(path), **arguments)


def from_state_dict(
    weights: Mapping[str, Tensor], *, model: str | None = None, where: str = "the checkpoint", **arguments: Any
) -> nn.Module:
    """`load` for weights that have been read already."""
    kind = next((kind for kind in KINDS if any(name.endswith(kind.sign) for name in weights)), None)
    if kind is None:
        raise ValueError(
            f"{where} is neither of release 1.4.0 nor of perceiver-pytorch 0.11.0; its weights are {some_of(weights)}"
        )
    if any(".attn_residuals." in f".{name}" for name in weights):
        raise ValueError(
            f"{where} has attention residuals (attn_residual=True of perceiver-pytorch), which no model here has; "
            "checkpoints trained without them can be loaded"
        )
    try:
        ours = translate(weights, kind.rules) if kind.rules else dict(weights)
        build = kind.model or _class_of(weights, model)
        inferred = kind.infer(weights) | _widths_of_heads(weights, build, arguments)
        given = {**_known(build, inferred), **arguments}
        empty = on_meta(lambda: _built(build, given, where), len(weights))
        assert empty is not None
        expected = empty.state_dict()
    except KeyError as error:
        raise DamagedFileError(f"{where} has no {error.args[0]}; {kind.origin} writes one") from error
    except ValueError as error:
        raise error if where in str(error) else ValueError(f"{where}: {error}") from error
    except (IndexError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise DamagedFileError(f"{where} has other shapes than {kind.origin} writes: {error}") from error
    wrong = [name for name in expected if name not in ours or ours[name].shape != expected[name].shape]
    wrong += [name for name in ours if name not in expected]
    if wrong:
        raise ValueError(f"{where}: weights do not fit the arguments: {some_of(wrong)}")
    made = _built(build, given, where)
    made.load_state_dict(ours)
    changed = [name for name, value in made.state_dict().items() if not torch.equal(value, ours[name].to(value.dtype))]
    if changed:
        raise ValueError(f"{where}: these layers are not tied: {some_of(changed)}; pass weight_tie_layers=False")
    return made.eval()


def read(path: str | Path) -> dict[str, Tensor]:
    """The state dict in a file, without what wrappers put before its names."""
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"{path} is no file")
    found = read_tensors(path)
    for name in INSIDE:
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
            break
    if not isinstance(found, Mapping) or not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise DamagedFileError(f"{path} must hold a state dict, or a dictionary with one as {', '.join(INSIDE)}")
    weights = dict(found)
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights


def _built(build: Callable[..., nn.Module], arguments: dict[str, Any], where: str) -> nn.Module:
    known = [name for name in inspect.signature(build).parameters if name != "self"]
    unknown = [name for name in arguments if name not in known]
    if unknown:
        raise TypeError(f"{where}: its model here takes no {', '.join(unknown)}; it takes {', '.join(known)}")
    try:
        return build(**arguments)
    except TypeError as error:
        needed = [
            name
            for name, parameter in inspect.signature(build).parameters.items()
            if parameter.default is inspect.Parameter.empty and name not in arguments and name != "self"
        ]
        if not needed:
            raise
        raise ValueError(f"{where}: shapes do not tell {', '.join(needed)}; pass as argument") from error


def _known(build: Callable[..., nn.Module], arguments: dict[str, Any]) -> dict[str, Any]:
    """Those that the class has."""
    names = inspect.signature(build).parameters
    return {name: value for name, value in arguments.items() if name in names}


def _class_of(weights: Mapping[str, Tensor], model: str | None) -> Callable[..., nn.Module]:
    """The class of release 1.4.0 whose weights these are, unless the caller says."""
    if model is None:
        text = "WithText" if any(name.startswith("embeddings.") for name in weights) else ""
        hierarchical = "Hierarchical" if "latents.0" in weights else ""
        pooling = "" if "to_logits.1.weight" in weights else "NoPooling"
        model = f"{hierarchical}MultiModality{text}Perceiver{pooling}"
        if not any(".latent_blocks." in name for name in weights):
            model = "Perceiver"
    if model not in perceiver_pytorch.__all__:
        raise ValueError(f"there is no model {model!r}; there are {', '.join(perceiver_pytorch.__all__)}")
    return getattr(perceiver_pytorch, model)


def _count(weights: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbers follow a prefix, ``prefix.0.``, ``prefix.1.``, …"""
    start = prefix + "."
    return 1 + max((int(n.removeprefix(start).split(".")[0]) for n in weights if n.startswith(start)), default=-1)


def _are_tied(weights: Mapping[str, Tensor], first: int) -> bool:
    """Whether all layers from ``first`` on have the same weights, several of them."""
    others = range(first + 1, _count(weights, "layers"))
    names = [name for name in weights if name.startswith(f"layers.{first}.")]
    return bool(others) and all(
        torch.equal(weights[name], weights[f"layers.{i}.{name.split('.', 2)[2]}"]) for name in names for i in others
    )


def _widths_of_heads(
    weights: Mapping[str, Tensor], build: Callable[..., nn.Module], arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Channels of a head, from those of all heads together; their numbers are the caller's, or the defaults."""
    found = {}
    names = {"cross": ("layers.0.0.fn", "cross_attn.fn"), "latent": ("latent_blocks.0.0.fn", "0.2.fn", "attns.0.0.fn")}
    for part, signs in names.items():
        heads = arguments.get(f"{part}_heads", inspect.signature(build).parameters[f"{part}_heads"].default)
        name = next((n for n in weights if any(n.endswith(f"{sign}.to_q.weight") for sign in signs)), None)
        if name is not None and f"{part}_dim_head" not in arguments:
            if weights[name].shape[0] % heads:
                raise ValueError(f"{name} has {weights[name].shape[0]} channels, not {heads} heads; pass {part}_heads")
            found[f"{part}_dim_head"] = weights[name].shape[0] // heads
    return found


def _of_release(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    found: dict[str, Any] = {"depth": _count(weights, "layers"), "num_classes": None}
    if "to_logits.1.weight" in weights:
        found["num_classes"] = weights["to_logits.1.weight"].shape[0]
    if "latents" in weights:
        found |= dict(zip(("num_latents", "latent_dim"), weights["latents"].shape, strict=True))
    else:  # the hierarchical form has some for each layer
        shapes = [weights[f"latents.{i}"].shape for i in range(max(1, _count(weights, "latents")))]
        found["configurator"] = {"num_latents": [s[0] for s in shapes], "latent_dims": [s[1] for s in shapes]}
    inner, width = weights["layers.0.1.fn.net.0.weight"].shape
    found["use_gelu"] = inner == 4 * width  # GEGLU's is twice as wide
    blocks = _count(weights, "layers.0.2.latent_blocks")
    if not blocks:
        return found | {"weight_tie_layers": _are_tied(weights, 1)}
    # Tied are the cross-attends but the first, and the latent blocks but each layer's first (docs/design.md).
    later = {name: value for name, value in weights.items() if name.split(".latent_blocks.")[-1][:2] == "1."}
    crosses = {name: value for name, value in weights.items() if name.split(".")[2:3] == ["0"]}
    tied = _are_tied(later, 0) if blocks > 1 else _are_tied(crosses, 1)
    return found | {"num_latent_blocks_per_layer": blocks, "weight_tie_layers": tied}


def _of_lucidrains(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        "depth": _count(weights, "layers"),
        "num_latents": weights["latents"].shape[0],
        "latent_dim": weights["latents"].shape[1],
        "self_per_cross_attn": _count(weights, "layers.0.self_attns"),
        "num_classes": weights["to_logits.2.weight"].shape[0] if "to_logits.2.weight" in weights else None,
        "weight_tie_layers": _are_tied(weights, 1),
    }


def _of_lucidrains_io(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    prefix = "perceiver_io." if "perceiver_io.latents" in weights else ""
    weights_of_io = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    found: dict[str, Any] = {
        "depth": _count(weights_of_io, "layers"),
        "num_latents": weights_of_io["latents"].shape[0],
        "latent_dim": weights_of_io["latents"].shape[1],
        "dim": weights_of_io["cross_attend_block.cross_attn.norm_context.weight"].shape[0],
        "queries_dim": weights_of_io["decoder_cross_attn.norm.weight"].shape[0],
        "logits_dim": weights_of_io["to_logits.weight"].shape[0] if "to_logits.weight" in weights_of_io else None,
        "decoder_ff": "decoder_ff.norm.weight" in weights_of_io,
        "weight_tie_layers": _are_tied(weights_of_io, 0),
    }
    if prefix:
        found |= {"num_tokens": weights["token_emb.weight"].shape[0], "max_seq_len": weights["pos_emb.weight"].shape[0]}
    return found


def _lucidrains(**arguments: Any) -> nn.Module:
    """`Perceiver` as perceiver-pytorch 0.11.0 has it: with linearly spaced frequencies."""
    return perceiver_pytorch.Perceiver(**{"style": Style.of("release", freq_scale="linear"), **arguments})


_lucidrains.__signature__ = inspect.signature(perceiver_pytorch.Perceiver.__init__)  # type: ignore[attr-defined]


def _lucidrains_rules(most_blocks: int = 64) -> tuple[Rule, ...]:
    """Its blocks by name, ours by number. Its feed-forward part has the dropout last, ours before the last layer; its
    attention has no dropout after the output, ours has.
    """
    rules = [
        Rule("layers.{i}.cross_attn.fn.to_out.{what}", "layers.{i}.0.fn.to_out.0.{what}"),
        Rule("layers.{i}.cross_attn.{*rest}", "layers.{i}.0.{*rest}"),
        Rule("layers.{i}.cross_ff.fn.net.2.{what}", "layers.{i}.1.fn.net.3.{what}"),
        Rule("layers.{i}.cross_ff.{*rest}", "layers.{i}.1.{*rest}"),
    ]
    for j in range(most_blocks):
        here = f"layers.{{i}}.{2 + 2 * j}", f"layers.{{i}}.{3 + 2 * j}"
        rules += [
            Rule(f"layers.{{i}}.self_attns.{j}.0.fn.to_out.{{what}}", f"{here[0]}.fn.to_out.0.{{what}}"),
            Rule(f"layers.{{i}}.self_attns.{j}.0.{{*rest}}", f"{here[0]}.{{*rest}}"),
            Rule(f"layers.{{i}}.self_attns.{j}.1.fn.net.2.{{what}}", f"{here[1]}.fn.net.3.{{what}}"),
            Rule(f"layers.{{i}}.self_attns.{j}.1.{{*rest}}", f"{here[1]}.{{*rest}}"),
        ]
    return (
        *rules,
        Rule("to_logits.1.{what}", "to_logits.0.{what}"),
        Rule("to_logits.2.{what}", "to_logits.1.{what}"),
        Rule("latents", "latents"),
    )


def _block(attention: str, feed_forward: str, here: str) -> list[Rule]:
    return [
        Rule(f"{attention}.fn.to_kv.weight", (f"{here}.{_HALVES[0]}", f"{here}.{_HALVES[1]}")),
        Rule(f"{attention}.fn.{{part}}.{{what}}", f"{here}.{{part}}.{{what}}"),
        Rule(f"{attention}.norm.{{what}}", f"{here}.norm.{{what}}"),
        Rule(f"{attention}.norm_context.{{what}}", f"{here}.norm_context.{{what}}"),
        Rule(f"{feed_forward}.norm.{{what}}", f"{here}.feed_forward_norm.{{what}}"),
        Rule(f"{feed_forward}.fn.net.0.{{what}}", f"{here}.feed_forward.0.{{what}}"),
        Rule(f"{feed_forward}.fn.net.2.{{what}}", f"{here}.feed_forward.3.{{what}}"),
    ]


def _io_rules(prefix: str = "") -> tuple[Rule, ...]:
    cross, layer = f"{prefix}cross_attend_block", f"{prefix}layers.{{i}}.self_attns.0"
    return (
        *_block(f"{cross}.cross_attn", f"{cross}.cross_ff", f"{prefix}cross_attend"),
        *_block(f"{layer}.0", f"{layer}.1", f"{prefix}layers.{{i}}"),
        *_block(f"{prefix}decoder_cross_attn", f"{prefix}decoder_ff", f"{prefix}decoder"),
        Rule(f"{prefix}to_logits.{{what}}", f"{prefix}to_logits.{{what}}"),
        Rule(f"{prefix}latents", f"{prefix}latents"),
    )


_LM_RULES = (Rule("{table}_emb.weight", "{table}_emb.weight"), *_io_rules("perceiver_io."))
_LUCIDRAINS = "perceiver-pytorch 0.11.0"
KINDS = (
    Kind("perceiver_io.latents", _LUCIDRAINS, TokenPerceiverIO, _LM_RULES, _of_lucidrains_io),
    Kind("cross_attend_block.cross_attn.fn.to_q.weight", _LUCIDRAINS, ArrayPerceiverIO, _io_rules(), _of_lucidrains_io),
    Kind("layers.0.cross_attn.fn.to_q.weight", _LUCIDRAINS, _lucidrains, _lucidrains_rules(), _of_lucidrains),
    Kind("layers.0.0.fn.to_q.weight", "release 1.4.0", None, (), _of_release),
)
"""Kinds of checkpoints, the first that fits counts."""
