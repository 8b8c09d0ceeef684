"""Any checkpoint as a model: ours, transformers', release 1.4.0's, perceiver-pytorch 0.11.0's."""

from pathlib import Path
from typing import Any

from torch import nn

import perceiver_pytorch
from perceiver_pytorch._saved_files import DamagedFileError, MissingFileError, read_header, read_json
from perceiver_pytorch.interop import huggingface, upstream
from perceiver_pytorch.interop.array_perceiver_io import ArrayPerceiverIO, TokenPerceiverIO
from perceiver_pytorch.interop.published_perceiver import PublishedPerceiver
from perceiver_pytorch.models.saving import CLASS, SavedModel

_INTEROP = {model.__name__: model for model in (PublishedPerceiver, ArrayPerceiverIO, TokenPerceiverIO)}


def load(source: str | Path, **arguments: Any) -> nn.Module:
    """A checkpoint as a model of ours, in evaluation mode.

    Args:
        source: a folder that ``save_pretrained`` of any model of this package wrote; a folder or hub repository in
            transformers' format (see `perceiver_pytorch.interop.huggingface.load`); or a ``.pt`` file of release 1.4.0
            or perceiver-pytorch 0.11.0 (see `perceiver_pytorch.interop.upstream.load`).
        **arguments: those of the loader.

    Raises:
        DamagedFileError: for files that cannot be read, or do not fit each other; it is a FileNotFoundError as well
            where one is missing.
        ValueError, TypeError: for arguments that do not fit them.
        ConnectionError: if the hub cannot be reached.
    """
    if Path(source).is_file():
        return upstream.load(source, **arguments)
    folder = huggingface.find(source, arguments.pop("revision", None))
    values = read_json(folder / huggingface.CONFIG)
    weights = folder / huggingface.SAFETENSORS
    name = None
    if "model_type" not in values and weights.exists():
        name = read_header(weights).metadata.get(CLASS)
    if not any(path.is_file() for pattern in huggingface.FILES[2:] for path in folder.glob(pattern)):
        raise MissingFileError(f"{folder} has no weights, such as {huggingface.SAFETENSORS}")
    if name is None:
        if weights.is_file() and not ({"model_type", "architectures"} & values.keys() or "task" in arguments):
            raise DamagedFileError(
                f"{weights} names no class of this package, and {huggingface.CONFIG} none of transformers'"
            )
        return huggingface.load(folder, **arguments)
    if arguments:
        raise TypeError(f"{folder} is a saved model and takes no arguments, got {', '.join(arguments)}")
    return _saved_class(name, folder).from_pretrained(folder)


def convert(source: str | Path, target: str | Path, **arguments: Any) -> nn.Module:
    """Writes a checkpoint of another library as ours: ``model.safetensors`` and ``config.json``.

    Args:
        source, arguments: as in `load`.
        target: folder to write; must not hold anything yet.

    Returns:
        The model that was written.

    Raises:
        FileExistsError: if there is something in the folder; and as `load`.
    """
    target = Path(target)
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise FileExistsError(f"{target} is there already; give a new folder")
    model = load(source, **arguments)
    assert isinstance(model, SavedModel)
    model.save_pretrained(target)
    return model


def _saved_class(name: str, folder: Path) -> Any:
    if name in _INTEROP:
        return _INTEROP[name]
    cls = getattr(perceiver_pytorch, name) if name in perceiver_pytorch.__all__ else None
    if not (isinstance(cls, type) and issubclass(cls, SavedModel)):
        raise DamagedFileError(
            f"{folder / huggingface.SAFETENSORS} has weights of {name}, which is no class of this package"
        )
    return cls
