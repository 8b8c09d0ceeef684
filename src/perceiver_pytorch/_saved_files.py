"""Files of runs and models, read: whatever they hold, an error of one kind says what is wrong with which of them."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perceiver_pytorch._files import FileRefusedError, check_regular, read_text

_NOT_WORDED = (LookupError, AttributeError, ArithmeticError, RuntimeError, AssertionError)
"""What code raises, besides errors with words of ours, that is given other values than it was written for."""


class DamagedFileError(ValueError):
    """A file of a run or a saved model is damaged, or does not fit the other files.

    The message says which file, what was expected, what came, and what to do.
    """


class MissingFileError(DamagedFileError, FileNotFoundError):
    """A file of a run or a saved model is not there."""

    __str__ = ValueError.__str__


@dataclass(frozen=True)
class Entry:
    """What a file of weights says of one of them, without its numbers.

    Attributes:
        shape: its shape.
        floating: whether it holds floating-point numbers.
    """

    shape: tuple[int, ...]
    floating: bool

    @classmethod
    def of(cls, tensor: Any) -> "Entry":
        """That of a tensor."""
        return cls(tuple(tensor.shape), tensor.is_floating_point())


@dataclass(frozen=True)
class Header:
    """What a safetensors file says before its numbers.

    Attributes:
        entries: the weights, by name.
        metadata: texts by name.
    """

    entries: dict[str, Entry]
    metadata: dict[str, str]

    @property
    def numbers(self) -> int:
        """How many the weights hold in all."""
        return sum(math.prod(entry.shape) for entry in self.entries.values())


@contextmanager
def fitting(path: Path, expected: str = "") -> Iterator[None]:
    """Raises a `DamagedFileError` where the content of the file at ``path`` is not what the block expects.

    Args:
        expected: what it should be, for errors without words.
    """
    try:
        yield
    except DamagedFileError:
        raise
    except (ValueError, TypeError) as error:
        words = str(error)
        raise DamagedFileError(words if str(path) in words else f"{path}: {words}") from error
    except _NOT_WORDED as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise DamagedFileError(f"{path} must be {expected or 'as it was saved'}, and is not ({reason})") from error


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    return _object(path, "JSON", json.loads)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; an empty one of an empty file."""
    return _object(path, "YAML", lambda text: parse_yaml(text) or {})


def parse_yaml(text: str) -> Any:
    """What a YAML text says; raises a ValueError for one that says nothing."""
    import yaml

    try:
        return yaml.safe_load(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError) as error:  # 2020-13-45 is no date
        raise ValueError(" ".join(str(error).split())) from None


def read_header(path: Path) -> Header:
    """Names, shapes and metadata of a safetensors file, whose bounds are checked; its numbers stay on the disk."""
    from safetensors import safe_open

    def read() -> Header:
        entries = {}
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118  (it is no mapping)
                part = file.get_slice(name)
                entries[name] = Entry(tuple(part.get_shape()), "F" in part.get_dtype())
            return Header(entries, dict(file.metadata() or {}))

    return _weights(path, read)


def read_tensors(path: Path, map_location: Any = "cpu") -> Any:
    """What a safetensors file holds, or one that ``torch.save`` wrote: tensors and plain values; code is never run."""
    import torch
    from safetensors.torch import load_file

    if path.suffix == ".safetensors":
        return _weights(path, lambda: load_file(path, str(map_location)))
    return _weights(
        path,
        lambda: torch.load(path, map_location=map_location, weights_only=True),
        # PyTorch's own words advise to unpickle whatever the file holds.
        "it is no file of torch.save, is damaged, or holds other objects than tensors, numbers, text, lists and "
        "dictionaries, which are not unpickled",
    )


def _weights(path: Path, read: Callable[[], Any], reason: str = "") -> Any:
    with found(path):
        check_regular(path)
        path.open("rb").close()  # an error of the system's is told as such
    try:
        return read()
    except MemoryError:
        raise
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to ask for
        reason = reason or " ".join(str(error).split())
        raise DamagedFileError(
            f"{path} cannot be read as weights: {reason}; copy the file again, or save its model anew"
        ) from error


@contextmanager
def found(path: Path) -> Iterator[None]:
    """Raises a `DamagedFileError` where the block is refused the file at ``path``, or there is none."""
    try:
        yield
    except FileRefusedError as error:
        raise DamagedFileError(str(error)) from error
    except FileNotFoundError as error:
        raise MissingFileError(f"there is no file {path}") from error


def _object(path: Path, language: str, parse: Callable[[str], Any]) -> dict[str, Any]:
    try:
        with found(path):
            values = parse(read_text(path))
    except DamagedFileError:
        raise
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise DamagedFileError(f"{path} is no {language} file: {reason}") from error
    if not isinstance(values, Mapping):
        kind = "object" if language == "JSON" else "mapping"
        raise DamagedFileError(f"{path} must hold a {language} {kind}, got {type(values).__name__}")
    return dict(values)
