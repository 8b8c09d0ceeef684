"""A rank's part of a batch, laid out as it would be in the whole."""

from perceiver_pytorch.data import Batch, InputSpec
from perceiver_pytorch.nn.randomness import current_share
from perceiver_pytorch.training.gathering import largest
from perceiver_pytorch.training.run.ranks import world


def of_whole_batch(batch: Batch, spec: InputSpec, *, needed: bool = False) -> tuple[Batch, frozenset[str]]:
    """The batch with axes as long as the longest of all ranks, so that random numbers are drawn for as many tokens, and
    the modalities that any rank has.

    A batch that is no part of another stays as it is.

    Args:
        batch: of this rank.
        spec: of its rows.
        needed: whether axes have to be as long also where ranks draw random numbers of their own.
    """
    if current_share() is None and not (needed and world() > 1):
        return batch, frozenset()
    names = [modality.name for modality in spec.modalities]
    axes = [len(modality.axes) for modality in spec.modalities]
    there = [int(bool(batch.masks[name].any())) if name in batch.masks else 1 for name in names]  # in memory
    lengths = [batch.inputs[name].shape[1 : 1 + count] for name, count in zip(names, axes, strict=True)]
    found = iter(largest([*there, *(length for each in lengths for length in each)]))
    known = frozenset([name for name in names if next(found)])
    longest = {name: tuple(next(found) for _ in range(count)) for name, count in zip(names, axes, strict=True)}
    return batch.lengthened(longest, spec), known
