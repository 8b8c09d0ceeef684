"""What is unwise about a run that has not begun, each with what to type instead."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from perceiver_pytorch.data import ModalitySpec, Target
from perceiver_pytorch.data.errors import listed
from perceiver_pytorch.data.kinds.stems import strides_of
from perceiver_pytorch.models.modalities import InputModality
from perceiver_pytorch.training.table.advice import Advice
from perceiver_pytorch.training.table.sizes import token_axes
from perceiver_pytorch.training.table.suspects import Suspect

MANY_TOKENS = 4_000
"""Of one cell: every layer reads all of them, in every step."""
FEW_ROWS = 5
"""Train rows of a class or label with which it can hardly be learned."""
TOO_FINE = 4.0
"""Times its own highest frequency that an axis may be read with because another axis is longer."""


@dataclass(frozen=True)
class Unwise:
    """Something to think about before training.

    Attributes:
        says: what and why.
        instead: the command to type; None: nothing that can be typed.
    """

    says: str
    instead: str | None = None


def unwise_columns(suspects: Sequence[Suspect], advice: Advice) -> Iterator[Unwise]:
    """Columns that give the answer away, or name the rows."""
    for each in suspects:
        yield Unwise(each.says, advice.without([each.column]))


def unwise_classes(targets: Sequence[Target], advice: Advice) -> Iterator[Unwise]:
    """Classes and labels of hardly any row."""
    for target in targets:
        rare = sorted((count, name) for name, count in target.counted().items() if count < FEW_ROWS)
        if not rare:
            continue
        named = listed([f"{name!r} ({count:,} train row{'s' * (count != 1)})" for count, name in rare], 5)
        says = f"{target.name}: {named}: too few to learn, and to score; more rows or fewer {target.plural} would help"
        balanced = advice.asked.training.class_weights == "balanced"
        yield Unwise(says, None if balanced else advice.fit({("training", "class_weights"): "balanced"}))


def unwise_tokens(modalities: Sequence[ModalitySpec], advice: Advice) -> Iterator[Unwise]:
    """Cells of very many tokens."""
    for modality in modalities:
        axes = token_axes(modality)
        count = int(np.prod(axes))
        if count < MANY_TOKENS:
            continue
        grid = f" ({' x '.join(map(str, axes))})" if len(axes) > 1 else ""
        says = f"{modality.name}: {count:,} tokens a cell{grid}, which every layer reads in every step"
        fewer: dict[tuple[str, ...], Any] = {("data", name): value for name, value in modality.fewer_tokens().items()}
        yield Unwise(says, advice.fit(fewer) if fewer else None)


def unwise_frequencies(
    modalities: Sequence[ModalitySpec], read: Mapping[str, InputModality], advice: Advice
) -> Iterator[Unwise]:
    """Positions encoded by frequencies that their grid cannot tell apart: beyond half a wave from place to place.

    Args:
        modalities: of the table.
        read: {modality: what the model has for it}.
        advice: makes commands.
    """
    for modality in modalities:
        has = read.get(modality.name)
        if has is None or not has.num_freq_bands:
            continue
        places = _places(modality)
        known = {axis: count for axis, count in enumerate(places) if count is not None and count > 1}
        if not known:
            continue
        finest = max(known.values())
        coarse = [axis for axis, count in known.items() if has.max_freq > TOO_FINE * count]
        if has.max_freq <= finest * (1 + 1e-6) and not coarse:
            continue
        wanted = finest if has.max_freq > finest * (1 + 1e-6) else min(known.values())
        axes = " x ".join("?" if count is None else f"{count:g}" for count in places)
        says = (
            f"{modality.name}: max_freq {has.max_freq:g} is beyond the Nyquist frequency of its grid of {axes} places: "
            "frequencies above half a wave from place to place look like others"
        )
        yield Unwise(says, _with_frequency(modality, wanted, advice))


def _with_frequency(modality: ModalitySpec, wanted: float, advice: Advice) -> str | None:
    """The command that reads a modality with another frequency: the grid's own, where one was given for all of them.
    Weights that are taken over keep theirs."""
    if advice.asked.start.checkpoint:
        return None
    if advice.asked.model.max_freq is not None:
        return advice.fit({("model", "max_freq"): None})
    return advice.fit({("model", "max_freq"): max(2.0, float(wanted))})


def _places(modality: ModalitySpec) -> list[float | None]:
    """Per axis how many places there are from -1 to 1 at the distance of its tokens; None: tokens bring their own."""
    strides = strides_of(modality.stem_config, len(modality.axes))
    found: list[float | None] = []
    for axis, (length, stride) in enumerate(zip(token_axes(modality), strides, strict=True)):
        grid: Any = modality.grid(axis)
        if modality.own_coordinates[axis]:
            found.append(None)
        elif grid is None or len(grid) < 2:
            found.append(float(length))
        else:
            found.append(round(2.0 / (float(np.abs(np.diff(grid)).min()) * stride) + 1, 1))
    return found
