"""Whether train rows of like length should share a step."""

from perceiver_pytorch.data import ShardedTable, TableDataset
from perceiver_pytorch.data.lengths import filled_up, row_lengths, token_counts
from perceiver_pytorch.training.run.sampler import EpochBatches

SAVED, LEAST = 0.2, 256
"""Tokens of a step that it has to save: this share of them, and so many. Where there are fewer, they hardly count."""


def saves_by_length(dataset: TableDataset, batch_size: int, seed: int) -> bool:
    """Whether batches of like length have clearly fewer tokens than mixed ones, of rows that are in memory.

    Args:
        dataset: the train rows.
        batch_size: rows of a step.
        seed: of their order.
    """
    if isinstance(dataset.table, ShardedTable) or not dataset.all_kept or len(dataset) <= batch_size:
        return False
    counts = token_counts(dataset)
    if not counts.std(0).any():
        return False
    mixed = EpochBatches(len(dataset), batch_size, seed)
    alike = EpochBatches(len(dataset), batch_size, seed, lengths=row_lengths(counts))
    before, after = filled_up(counts, mixed), filled_up(counts, alike)
    return before - after > max(SAVED * before, LEAST * len(mixed))
