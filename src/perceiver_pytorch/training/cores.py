"""How many threads take rows of a step through a model, and among how many cores each shares its operations."""

import math
from weakref import WeakKeyDictionary

from torch import nn
from torch.nn.parameter import is_lazy

LEAST_ROWS, LEAST_TOKENS, LEAST_WORK = 4, 2048, 1 << 30
"""Of a thread, at least: rows and tokens, or multiply-adds, however few the rows. With fewer, most of the time goes
into Python, which runs in one thread at a time."""

SQUARED = 3 << 24
"""Multiply-adds over the square of the threads, at least, where there are more than two. However few rows a thread has,
it runs the same Python (9 ms of a step of ``digits``): more threads wait longer for each other."""

SHARED = 1 << 31
"""Multiply-adds of a thread, at least, for each core that its operations are shared among. With fewer, another program
that takes one of the cores may slow a step down ten times."""

OF_A_TOKEN = 1 << 12
"""Multiply-adds that read a token of a table, stem and cross-attends together: half of them to twice as many."""

LOOKED_UP = nn.Embedding, nn.EmbeddingBag

_sizes: WeakKeyDictionary[nn.Module, tuple[int, int]] = WeakKeyDictionary()


def shared_out(cores: int, rows: int, tokens: int, model: nn.Module, *, together: bool = False) -> tuple[int, int]:
    """The threads that rows are shared out among, and the cores that each of them has.

    Args:
        cores: at most, in all.
        rows: how many there are.
        tokens: how many they have in all, about.
        model: what they go through.
        together: one thread takes all rows.
    """
    work = multiply_adds(rows, tokens, model)
    threads = 1
    if not together:
        enough = max(min(rows // LEAST_ROWS, tokens // LEAST_TOKENS), min(rows, work // LEAST_WORK))
        threads = max(1, min(cores, enough, max(2, math.isqrt(work // SQUARED))))
    return threads, max(1, min(cores // threads, work // threads // SHARED))


def multiply_adds(rows: int, tokens: int, model: nn.Module) -> int:
    """Of a forward, about: what reads the tokens, and each latent times each weight of the model. Where there is no
    array of latents, as in a `PerceiverAR`, tokens take their place."""
    if model not in _sizes:
        _sizes[model] = _num_latents(model), _num_weights(model)
    latents, weights = _sizes[model]
    return tokens * OF_A_TOKEN + (rows * latents or tokens) * weights


def latent_multiply_adds(model: nn.Module) -> int:
    """Of a row, about: each latent times each weight of the model. Of a blend the trunk counts: few tokens go
    through its heads."""
    model = getattr(model, "trunk", model)
    positions = getattr(model, "num_latents", 0)  # of a PerceiverAR, which has no array of latents
    return (_num_latents(model) or (positions if isinstance(positions, int) else 0)) * _num_weights(model)


def _num_latents(model: nn.Module) -> int:
    """Of the largest array of latents in a model; 0 without any."""
    found = (part._parameters.get("latents") for part in model.modules())
    lists = (part._modules.get("latents") for part in model.modules())
    arrays = [array for array in found if array is not None]
    arrays += [array for each in lists if isinstance(each, nn.ParameterList) for array in each]
    return max((array.shape[0] for array in arrays if array.dim()), default=0)


def _num_weights(model: nn.Module) -> int:
    """Of those that are multiplied with; in tables they are looked up."""
    tables = {id(part.weight) for part in model.modules() if isinstance(part, LOOKED_UP)}
    known = [p for p in model.parameters() if not is_lazy(p)]
    return sum(p.numel() for p in known if p.dim() > 1 and id(p) not in tables)
