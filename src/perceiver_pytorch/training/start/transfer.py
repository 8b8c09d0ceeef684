"""Weights of a trained model for a model that reads other modalities, of other sizes, or more of them.

Tokens have their data channels first, their positions and modality code last, and padding between. So weights over
token channels are moved block by block: data from the front, positions and codes from the back.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from perceiver_pytorch.models.inputs import ModalityReader
from perceiver_pytorch.models.modalities import InputModality
from perceiver_pytorch.models.perceiver import Perceiver
from perceiver_pytorch.nn.block import AttentionBlock
from perceiver_pytorch.nn.cross_attend import CrossAttend
from perceiver_pytorch.training.table.build import model_name


@dataclass
class Transfer:
    """What became of a model's weights.

    Attributes:
        taken: {name of a weight: how many of its numbers come from the other model}.
        fresh: names of weights with numbers that do not.
    """

    taken: dict[str, int] = field(default_factory=dict)
    fresh: set[str] = field(default_factory=set)


def match_modalities(new: Mapping[str, InputModality], old: Mapping[str, InputModality]) -> dict[str, str]:
    """{modality of the new model: that of the old one}: of the same name, else the only one left that reads the same.

    Of the same name they need as many axes, and to be embedded or not; else the size of the vocabulary or the number of
    channels must agree as well. What a model calls ``image`` has the name of the column ``image`` too.
    """
    columns = {model_name(name): name for name in old}
    matches = {}
    for name, modality in new.items():
        other = name if name in old else columns.get(name)
        if other is not None and _form(modality)[:2] == _form(old[other])[:2]:
            matches[name] = other
    for name, modality in new.items():
        form = _form(modality)
        theirs = [other for other in old if other not in matches.values() and _form(old[other]) == form]
        ours = [other for other in new if other not in matches and _form(new[other]) == form]
        if ours == [name] and len(theirs) == 1:
            matches[name] = theirs[0]
    return matches


def move_weights(
    new: ModalityReader,
    old: ModalityReader,
    matches: Mapping[str, str],
    rows: Mapping[str, Tensor] | None = None,
) -> Transfer:
    """Copies the weights of ``old`` into ``new`` as far as they have a place there; heads are left alone.

    Args:
        new, old: models of the same depth and widths.
        matches: of `match_modalities`.
        rows: {modality of the new model: int64, per row of its embedding, or per column of its stem, that of the old
            one, -1 for none}; without, row i is row i.

    Returns:
        What was copied, and what was not.

    Raises:
        ValueError: the latents differ in number or width.
    """
    channels = _channel_map(new, old, matches)
    over_tokens = {f"{name}.{part}" for name, module in new.named_modules() for part in _over_tokens(module)}
    theirs, result = _names_of_layers(old.state_dict()) if isinstance(old, Perceiver) else old.state_dict(), Transfer()
    with torch.no_grad():
        for name, buffer in new.named_buffers():
            if name.startswith("stems."):
                _, modality, part = name.split(".", 2)
                statistics = theirs.get(f"stems.{matches.get(modality)}.{part}")
                if statistics is not None and statistics.shape == buffer.shape:
                    buffer.copy_(statistics)
        for name, weight in new.named_parameters():
            if name.startswith("to_logits."):
                result.fresh.add(name)
                continue
            source, index = theirs.get(name), None
            if name in over_tokens:
                index = channels
            elif name.startswith("embeddings."):
                modality = name.removeprefix("embeddings.").removesuffix(".weight")
                source = theirs.get(f"embeddings.{matches.get(modality)}.weight")
                index = None if rows is None else rows.get(modality)
            elif name.startswith("stems."):
                modality, part = _reader_of(new, weight, matches)
                source = theirs.get(f"stems.{matches.get(modality)}.{part}")
                if rows is not None and part in getattr(new.stems[modality], "rows_by_id", ()):
                    index = rows.get(modality)
            elif name == "modality_codes":
                index = _row_map(new, old, matches)
            _copy(name, weight, source, index, columns=name in over_tokens, result=result)
    return result


def _reader_of(model: ModalityReader, weight: Tensor, matches: Mapping[str, str]) -> tuple[str, str]:
    """Whose stem a weight is in, and its name there; of stems that share it one whose modality has a match."""
    found = [
        (modality, part)
        for modality, stem in model.stems.items()
        for part, own in stem.named_parameters()
        if own is weight
    ]
    return next((each for each in found if each[0] in matches), found[0])


def _over_tokens(module: nn.Module) -> Sequence[str]:
    """Names of a module's weights that have a column per channel of a token."""
    if isinstance(module, CrossAttend):
        return ("norm_context.weight", "norm_context.bias", "fn.to_kv.weight")
    if isinstance(module, AttentionBlock) and module.norm_context is not None:
        return ("norm_context.weight", "norm_context.bias", "to_k.weight", "to_v.weight")
    return ()


def _names_of_layers(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a `Perceiver`, whose blocks' parts stand in the layer itself, by the other models' names."""
    return {re.sub(r"^(layers\.\d+)\.(\d+)\.", _part_of_block, name): weight for name, weight in weights.items()}


def _part_of_block(match: re.Match[str]) -> str:
    block, part = divmod(int(match[2]) - 2, 2)  # after the cross-attend and its feed-forward
    return match[0] if block < 0 else f"{match[1]}.2.latent_blocks.{block}.{part}."


def _copy(
    name: str, weight: Tensor, source: Tensor | None, index: Tensor | None, *, columns: bool, result: Transfer
) -> None:
    """Copies what there is of one weight; ``index`` says for each of its columns or rows the other's, or -1."""
    if source is None:
        result.fresh.add(name)
        return
    axis = weight.dim() - 1 if columns else 0
    if index is None:
        size = min(weight.shape[axis], source.shape[axis])
        index = torch.arange(weight.shape[axis]).where(torch.arange(weight.shape[axis]) < size, -1)
    others = [length for i, length in enumerate(weight.shape) if i != axis]
    if others != [length for i, length in enumerate(source.shape) if i != axis]:
        result.fresh.add(name)
        return
    there = (index >= 0).nonzero().flatten()
    weight.index_copy_(axis, there, source.index_select(axis, index[there]).to(weight))
    result.taken[name] = len(there) * (weight.numel() // weight.shape[axis])
    if len(there) < weight.shape[axis]:
        result.fresh.add(name)


def _channel_map(new: ModalityReader, old: ModalityReader, matches: Mapping[str, str]) -> Tensor:
    """int64 ``(channels of a token,)``: for each the old model's, or -1."""
    size, before = new.max_modality_dim - new.code_dim, old.max_modality_dim - old.code_dim
    found = torch.full((new.max_modality_dim,), -1)
    if size == before:  # padding, too, keeps its weights
        found[:size] = torch.arange(size)
    for name, other in matches.items():
        shared = min(new.token_channels(name).data, old.token_channels(other).data)
        found[:shared] = torch.arange(shared)
    for name, other in matches.items():
        places = min(new.token_channels(name).position, old.token_channels(other).position)
        free = found[size - places : size] < 0  # where tokens got narrower, data goes first
        found[size - places : size][free] = torch.arange(before - places, before)[free]
    codes = _row_map(new, old, matches)
    if not old.code_dim:
        return found
    if new.modality_codes is None and old.modality_codes is None:
        found[size:] = torch.where(codes >= 0, before + codes, -1)[: new.code_dim]
    elif new.code_dim == old.code_dim and new.modality_codes is not None and old.modality_codes is not None:
        found[size:] = torch.arange(before, before + new.code_dim)
    return found


def _row_map(new: ModalityReader, old: ModalityReader, matches: Mapping[str, str]) -> Tensor:
    """int64 ``(modalities,)`` in the order of their codes: for each the old model's, or -1."""
    return torch.tensor([old.code_index[matches[name]] if name in matches else -1 for name in new.code_index])


def _form(modality: InputModality) -> tuple[tuple[bool, str], int, int]:
    """Whether ids are embedded, and by which stem data are read; the number of axes; and the size of the vocabulary or
    of a token."""
    embedding = getattr(modality, "embedding", None)
    size = modality.input_channels if embedding is None else embedding.num_embeddings
    read_by = (embedding is not None, "" if modality.stem is None else type(modality.stem).__name__)
    return read_by, modality.input_axis, size


def count_parameters(module: nn.Module, *, frozen: bool = False) -> int:
    """Numbers in a module's parameters; with ``frozen`` those that training leaves alone."""
    return sum(p.numel() for p in module.parameters() if not frozen or not p.requires_grad)
