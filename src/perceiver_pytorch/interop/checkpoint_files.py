"""Files of checkpoints: tensors and JSON, and never code."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file


def read_tensors(path: Path) -> Any:
    """What a safetensors file holds, or one that ``torch.save`` wrote: tensors and plain values, on the CPU.

    Raises:
        ValueError: for a file of another form, or one that holds other objects, which are not unpickled.
        OSError: if there is no such file, or it cannot be read.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to ask for
        if path.suffix == ".safetensors":
            raise ValueError(f"{path} cannot be read as weights: {error}") from error
        # PyTorch's own message advises to unpickle whatever the file holds.
        raise ValueError(
            f"{path} cannot be read as weights: it is no file of torch.save, is damaged, or holds other objects than "
            "tensors, numbers, text, lists and dictionaries, which are not unpickled"
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no JSON file: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(values).__name__}")
    return values
