"""What a saved model is: one of this package, one in transformers' format, or the weights of another library."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perceiver_pytorch._saved_files import DamagedFileError, Header, read_header, read_json, read_tensors
from perceiver_pytorch.models.saving import CLASS
from perceiver_pytorch.tables.description import Facts

CONFIG = "config.json"
WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")
PICKLED = (".pt", ".pth", ".bin", ".ckpt")
"""Files of weights that ``torch.save`` writes."""


def is_model(path: Path) -> bool:
    """Whether a folder holds a saved model, or a file weights."""
    if path.is_dir():
        return (path / CONFIG).is_file()
    return path.is_file() and path.suffix.lower() in (*PICKLED, ".safetensors")


def describe_model(path: Path) -> Facts:
    """The facts of a saved model.

    Raises:
        DamagedFileError: if a file of it is damaged.
    """
    return _folder(path) if path.is_dir() else _file(path)


def _folder(path: Path) -> Facts:
    config = read_json(path / CONFIG)
    files = [file for pattern in WEIGHTS for file in sorted(path.glob(pattern))]
    headers = {file: read_header(file) for file in files if file.suffix == ".safetensors"}
    name = next((header.metadata[CLASS] for header in headers.values() if CLASS in header.metadata), None)
    published = config.get("model_type") or ", ".join(config.get("architectures") or [])
    facts: Facts = {
        "what": f"saved model: {name}" if name else f"checkpoint in transformers' format: {published or 'unknown'}",
        "path": str(path),
        "class": name,
        "architectures": config.get("architectures"),
        "parameters": sum(header.numbers for header in headers.values()) or None,
        "bytes": sum(file.stat().st_size for file in files),
        "files": [file.name for file in files],
        "transformers_version": config.get("transformers_version"),
    }
    return facts | _loaded(path, has_weights=bool(files)) | {"configuration": _plain(config)}


def _loaded(path: Path, *, has_weights: bool) -> Facts:
    """What the model itself says, if this package can load it."""
    from perceiver_pytorch.interop import any_checkpoint

    if not has_weights:
        return {"loads": f"no: it has no weights, such as {WEIGHTS[0].replace('*', '')}"}
    try:
        model: Any = any_checkpoint.load(path)
    except DamagedFileError:
        raise
    except (ValueError, TypeError, ImportError) as error:
        return {"loads": f"no: {error}"}
    told = model.summary().splitlines() if hasattr(model, "summary") else []
    count = sum(parameter.numel() for parameter in model.parameters())
    return {"loads": f"as a {type(model).__name__}", "parameters": count, "model": told}


def _file(path: Path) -> Facts:
    """Weights alone, which do not say what they are of."""
    header = read_header(path) if path.suffix.lower() == ".safetensors" else None
    entries = header.entries if header is not None else _entries(read_tensors(path))
    numbers = Header({}, {}).numbers if not entries else Header(dict(entries), {}).numbers
    return {
        "what": "weights of a model, without its configuration",
        "path": str(path),
        "class": None if header is None else header.metadata.get(CLASS),
        "parameters": numbers,
        "tensors": len(entries),
        "bytes": path.stat().st_size,
        "next": f"perceiver convert {path} FOLDER says what they are (docs/checkpoints.md)",
    }


def _entries(found: Any) -> dict[str, Any]:
    """The tensors of what a file holds, which may lie one level down."""
    from torch import Tensor

    from perceiver_pytorch._saved_files import Entry

    if not isinstance(found, Mapping):
        return {}
    inner = next((v for v in (found.get("state_dict"), found.get("model")) if isinstance(v, Mapping)), found)
    return {str(name): Entry.of(value) for name, value in inner.items() if isinstance(value, Tensor)}


def _plain(config: Mapping[str, Any]) -> Facts:
    """What stands in a configuration at its first level, but lists and objects."""
    return {name: value for name, value in config.items() if isinstance(value, int | float | str)}
