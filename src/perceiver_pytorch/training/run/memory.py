"""Models and steps that are too large for the memory that there is."""

import os
from collections.abc import Callable

import torch
from torch import nn

OUT_OF_MEMORY = (
    "there is too little memory for a training step: use a smaller --batch-size, or a smaller model "
    "(--preset, --set model.num_latents=..)"
)
_WORDS = ("can't allocate memory", "not enough memory", "out of memory", "cannot allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocator says so, in whatever way."""
    told = isinstance(error, RuntimeError | OSError) and any(words in str(error).lower() for words in _WORDS)
    return told or isinstance(error, MemoryError)


def checked_size(build: Callable[[], nn.Module]) -> None:
    """That the weights of a model would fit into memory.

    Args:
        build: makes the model, on the meta device.

    Raises:
        ValueError: if they would not.
    """
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            size = sum(weight.numel() * weight.element_size() for weight in build().parameters())
    except (RuntimeError, OverflowError) as error:
        if "overflow" not in str(error).lower():
            raise
        size = 1 << 63
    there = _memory()
    if there is not None and size > there:
        raise ValueError(
            f"the model must fit into memory: its weights take {size / 1e9:,.0f} GB, this machine has "
            f"{there / 1e9:,.0f} GB; give smaller sizes (model.num_latents, model.latent_dim ..)"
        )


def _memory() -> int | None:
    """Bytes of this machine's memory; None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return None
