"""The one place that words an argument error: what was expected, what came, and what would do."""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


def choice(name: str, value: T, options: Sequence[T]) -> T:
    """``value``, if it is one of ``options``."""
    if value not in options:
        listed = ", ".join(repr(option) for option in options)
        raise ValueError(f"{name} must be one of {listed}; got {value!r}{did_you_mean(value, options)}")
    return value


class UnknownKeyError(ValueError):
    """A mapping has a key that its owner does not know."""


def known_keys(name: str, mapping: Mapping[str, Any], known: Iterable[str]) -> Mapping[str, Any]:
    """``mapping``, if all its keys are known; else an `UnknownKeyError`."""
    known = list(known)
    for key in mapping:
        if key not in known:
            raise UnknownKeyError(f"{name} has no {key!r}; it has {', '.join(known)}{did_you_mean(key, known)}")
    return mapping


def by_name(argument: str, values: Any, kind: type[T], convert: Callable[[Any], T]) -> dict[str, T]:
    """``values``, each of them converted, by their names, which must differ; in their order."""
    if isinstance(values, (kind, Mapping, str)) or not isinstance(values, Iterable):
        raise TypeError(f"{argument} must be an iterable of {kind.__name__}, got {type(values).__name__}")
    found: dict[str, T] = {}
    for value in map(convert, values):
        name = value.name  # type: ignore[attr-defined]
        if name in found:
            raise ValueError(f"two {argument} are called {name!r}; names must differ")
        found[name] = value
    return found


def positive_int(name: str, value: Any, minimum: int = 1) -> int:
    """``value``, if it is an integer of at least ``minimum``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer of at least {minimum}, got {value!r}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}")
    return value


def positive_ints(**values: Any) -> None:
    """That each of the values is an integer of at least 1."""
    for name, value in values.items():
        positive_int(name, value)


LARGEST32 = 3.4e38  # that float32 holds
MAX_BLOCKS = 10_000
"""More of them take minutes to build, and nobody trains them."""


def num_blocks(*counts: int | None) -> None:
    """That a model of so many layers, with so many blocks in each, can be built; None: not known yet."""
    if (number := math.prod(count or 1 for count in counts)) > MAX_BLOCKS:
        raise ValueError(f"depth must make at most {MAX_BLOCKS:,} blocks in all, got {number:,}")


def within(
    name: str,
    value: Any,
    least: float | None = None,
    most: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
) -> Any:
    """``value``, if it keeps to the bounds that are given; ``above`` and ``below`` are no values that it may have."""
    fits = (
        (least is None or value >= least)
        and (most is None or value <= most)
        and (above is None or value > above)
        and (below is None or value < below)
    )
    if not fits:
        raise ValueError(f"{name} must {bounds(least, most, above, below)}, got {value}")
    return value


def bounds(least: float | None, most: float | None, above: float | None, below: float | None) -> str:
    """What a number within bounds must do, in words; "be " where none is given."""
    if None not in (least, most):
        return f"lie between {least:g} and {most:g}"
    if None not in (above, below):
        return f"lie between {above:g} and {below:g}, exclusive"
    worded = (("at least", least), ("above", above), ("at most", most), ("below", below))
    return "be " + " and ".join(f"{words} {bound:g}" for words, bound in worded if bound is not None)


def seed(name: str, value: Any) -> int:
    """``value``, if it is a whole number that seeds every generator of random numbers here: 0 to 2^32 - 1."""
    if positive_int(name, value, minimum=0) >= 1 << 32:
        raise ValueError(f"{name} must be less than 2^32, got {value}")
    return value


def number(name: str, value: Any) -> float:
    """``value``, if it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    return value


def number32(name: str, value: Any) -> float:
    """``value``, if it is a number that float32 holds."""
    return within(name, number(name, value), -LARGEST32, LARGEST32)


def probability(name: str, value: Any) -> float:
    """``value``, if it lies in [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number in [0, 1], got {value!r}")
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in [0, 1], got {value}")
    return value


def probabilities(**values: Any) -> None:
    """That each of the values lies in [0, 1]."""
    for name, value in values.items():
        probability(name, value)


def tensor(name: str, value: Any) -> "Tensor":
    """``value``, if it is a tensor."""
    import torch  # here and below: settings are checked without it, where the command only prints its help

    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
    return value


def input_shape(name: str, data: "Tensor", num_axes: int, channels: int) -> None:
    """That modality ``name``'s data is ``(batch, *axes, channels)`` with at least one token; a batch may be empty."""
    axes = ", ".join(f"axis {i}" for i in range(num_axes))
    expected = f"input {name!r} must be (batch, {axes}, {channels} channels)"
    if data.dim() != num_axes + 2:
        raise ValueError(
            f"{expected}, that is {num_axes + 2} dimensions for {num_axes} axes; got {data.dim()}: {tuple(data.shape)}"
        )
    if data.is_complex():
        raise TypeError(f"input {name!r} must be real, got {data.dtype}; torch.view_as_real gives two channels of it")
    if data.shape[-1] != channels:
        hint = ""
        if data.shape[1] == channels:
            order = ", ".join(map(str, (0, *range(2, num_axes + 2), 1)))
            hint = f"; if the channels come first, give x.permute({order})"
        raise ValueError(f"{expected}; got {data.shape[-1]} channels: {tuple(data.shape)}{hint}")
    if 0 in data.shape[1:]:
        raise ValueError(f"{expected}; got an empty dimension: {tuple(data.shape)}")


def boolean_mask(name: str, mask: Any, shape: Sequence[int]) -> "Tensor":
    """``mask``, if it is a bool tensor of ``shape``."""
    import torch

    tensor(name, mask)
    if mask.dtype != torch.bool:
        raise TypeError(f"{name} must be bool (True = attend), got {mask.dtype}")
    if tuple(mask.shape) != tuple(shape):
        raise ValueError(f"{name} must be {tuple(shape)}, got {tuple(mask.shape)}")
    return mask


def token_ids(name: str, tokens: Any, vocab_size: int, limit: int | None = None) -> "Tensor":
    """``tokens`` as int64, if they are ids ``(batch, length)`` of a vocabulary, ``limit`` long at most."""
    import torch

    from perceiver_pytorch._execution import is_eager

    tensor(name, tokens)
    if tokens.is_floating_point() or tokens.is_complex() or tokens.dtype == torch.bool:
        raise TypeError(f"{name} must hold integer token ids, got {tokens.dtype}")
    if tokens.dim() != 2 or not tokens.shape[1]:
        raise ValueError(f"{name} must be token ids (batch, length) of at least one token, got {tuple(tokens.shape)}")
    if limit is not None and tokens.shape[1] > limit:
        raise ValueError(f"{name} must be at most {limit} long (max_length), got {tokens.shape[1]}; give the last ones")
    ids = tokens.long()
    if ids.numel() and is_eager(ids):
        lowest, highest = (int(value) for value in ids.aminmax())
        if lowest < 0 or highest >= vocab_size:
            raise ValueError(f"{name} must lie in [0, {vocab_size}), got {lowest} to {highest}")
    return ids


def places(name: str, values: Any, batch: int, length: int) -> "Tensor":
    """``values``, if they are int64 ``(batch, number)``, places in ``[0, length)``."""
    import torch

    from perceiver_pytorch._execution import is_eager

    tensor(name, values)
    if values.dtype != torch.int64:
        raise TypeError(f"{name} must be int64, got {values.dtype}")
    if values.dim() != 2 or values.shape[0] != batch or not values.shape[1]:
        raise ValueError(f"{name} must be (batch={batch}, number), got {tuple(values.shape)}")
    if values.numel() and is_eager(values):
        lowest, highest = (int(value) for value in values.aminmax())
        if lowest < 0 or highest >= length:
            raise ValueError(f"{name} must lie in [0, {length}), got {lowest} to {highest}")
    return values


def some_of(names: Iterable[str], most: int = 5) -> str:
    """The first names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def did_you_mean(value: Any, options: Iterable[Any]) -> str:
    """Words for the end of a message: the one of ``options`` that ``value`` resembles, or nothing."""
    close = difflib.get_close_matches(str(value), [str(option) for option in options], n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
