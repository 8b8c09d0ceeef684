"""Saving and loading, the same for every model: safetensors and a JSON configuration, in a folder or on the hub."""

import inspect
import os
import threading
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin, snapshot_download
from huggingface_hub.constants import CONFIG_NAME, PYTORCH_WEIGHTS_NAME, SAFETENSORS_SINGLE_FILE
from safetensors.torch import load_model, save_model
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from perceiver_pytorch._checks import some_of
from perceiver_pytorch._files import write_json
from perceiver_pytorch._saved_files import DamagedFileError, Entry, fitting, read_header, read_json, read_tensors
from perceiver_pytorch.models.card import card_text, model_sections

CLASS = "class"
"""Where a file of weights names the model's class, in its metadata."""
CALIBRATION = "calibration.json"
"""The file of `SavedModel.calibration`."""
FILES = (CONFIG_NAME, SAFETENSORS_SINGLE_FILE, PYTORCH_WEIGHTS_NAME, CALIBRATION)
"""What of a hub repository is downloaded, as far as it is there: PyTorch's own file where others saved the model."""


class SavedModel(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="perceiver-multi-modality-pytorch",
    tags=["perceiver"],
    license="mit",
):
    """A module with ``save_pretrained``, ``from_pretrained`` and ``push_to_hub``.

    The configuration is what the constructor was given, where that is plain values; `_record_config` adds the rest.

    Attributes:
        calibration: what makes probabilities of the outputs that are as often right as they say, as JSON values
            (`perceiver_pytorch.data.calibration`); None: nothing is known. ``forward`` gives outputs without it.
    """

    calibration: Mapping[str, Any] | None = None
    _given: frozenset[str]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        model = super().__new__(cls, *args, **kwargs)
        model._given = frozenset(kwargs)  # what a subclass that passes arguments on was given, see _record_config
        return model

    @property
    def recorded_config(self) -> dict[str, Any]:
        """What the constructor was given, as ``save_pretrained`` writes it."""
        return self._hub_mixin_config if isinstance(self._hub_mixin_config, dict) else {}

    def _record_config(self, **values: Any) -> None:
        """Adds what the constructor was given, as JSON values, to what ``save_pretrained`` writes."""
        parameters = type(self)._hub_mixin_init_parameters
        known = {key: value for key, value in values.items() if key in self._given or key in parameters}
        self._hub_mixin_config = {**self.recorded_config, **known}

    def _check_saveable(self) -> None:
        """Raises a `TypeError` where the configuration cannot say what the model is made of."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **arguments: Any) -> Any:
        """A saved model, in evaluation mode.

        Args:
            pretrained_model_name_or_path: the folder of ``save_pretrained``, or the name of a hub repository.
            arguments: ``revision``, ``token``, ``cache_dir``, ``force_download`` and ``local_files_only``, as
                huggingface_hub has them; ``strict=False``, to let weights be missing or left over;
                ``map_location``, the device; and arguments of the constructor, to change what was saved.

        Raises:
            DamagedFileError: for files that are missing or damaged, or do not fit each other. Nothing of their size is
                made before.
            TypeError: for an argument that the constructor does not take.
        """
        names = ("revision", "token", "cache_dir", "force_download", "local_files_only")
        download = {name: arguments.pop(name) for name in names if name in arguments}
        parameters = inspect.signature(cls.__init__).parameters
        unknown = [name for name in arguments if name not in {*parameters, "strict", "map_location"}]
        if unknown and not any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
            raise TypeError(f"{cls.__name__} takes no {', '.join(unknown)}; it takes {', '.join([*parameters][1:])}")
        folder = Path(pretrained_model_name_or_path)
        if not folder.is_dir():
            name = str(pretrained_model_name_or_path)
            folder = Path(snapshot_download(name, allow_patterns=list(FILES), **download))
        read_json(folder / CONFIG_NAME)
        return super().from_pretrained(folder, **arguments)

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        strict: bool = True,
        map_location: str = "cpu",
        revision: object,
        cache_dir: object,
        force_download: object,
        local_files_only: object,
        token: object,
        proxies: object = None,  # these two from huggingface_hub before 1.0
        resume_download: object = None,
        **arguments: Any,
    ) -> Any:
        """Strict unless asked otherwise: weights that a file lacks would stay random, unseen."""
        config, weights = Path(model_id) / CONFIG_NAME, Path(model_id) / SAFETENSORS_SINGLE_FILE
        state = None
        if not weights.exists() and weights.with_name(PYTORCH_WEIGHTS_NAME).exists():
            weights = weights.with_name(PYTORCH_WEIGHTS_NAME)
            state = read_tensors(weights)
        with fitting(weights, "a mapping of names to tensors"):
            header = read_header(weights) if state is None else None
            entries = header.entries if header is not None else {k: Entry.of(v) for k, v in (state or {}).items()}
        with fitting(config, f"the arguments of a {cls.__name__}"):
            empty = on_meta(lambda: cls(**arguments), len(entries))
            if empty is not None:
                check_weights(empty, entries, weights, strict=strict)
        if header is not None:
            cls._warn_of_another(header.metadata.get(CLASS), weights)
        model = cls(**arguments)
        with fitting(weights, f"the weights of {config}"):
            if state is None:
                load_model(model, weights, strict=strict, device=map_location)
            else:
                model.load_state_dict(state, strict=strict)
        beside = config.with_name(CALIBRATION)
        model.calibration = read_json(beside) if beside.exists() else None
        return model.to(map_location).eval()

    @classmethod
    def _warn_of_another(cls, saved: str | None, weights: Path) -> None:
        """Warns if a file was saved by another class than this one or those that it is made of."""
        if saved is not None and saved not in {kind.__name__ for kind in cls.__mro__}:
            warnings.warn(
                f"{weights} was saved by the class {saved} and is loaded as {cls.__name__}: methods that {saved} has "
                f"of its own, such as pool, are lost; {saved}.from_pretrained keeps them",
                UserWarning,
                stacklevel=6,
            )

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """What ``save_pretrained`` and ``push_to_hub`` write as ``README.md``, where there is none yet: what the model
        is, and how to load it. `perceiver_pytorch.tables.Run.push_to_hub` also knows its data and its scores."""
        return ModelCard(card_text(type(self).__name__, model_sections(self)), ignore_metadata_errors=True)

    def _save_pretrained(self, save_directory: Path) -> None:
        """Writes the weights under a temporary name first: a file that is there is whole. It names the model's class,
        for `perceiver_pytorch.interop.load`.
        """
        for module in self.modules():
            if isinstance(module, SavedModel):
                module._check_saveable()
        target = Path(save_directory) / SAFETENSORS_SINGLE_FILE
        partial = target.with_name(target.name + ".partial")
        partial.touch()
        mode = partial.stat().st_mode  # as of any file here; that of safetensors is for its owner alone
        save_model(self, str(partial), metadata={CLASS: type(self).__name__})
        partial.chmod(mode)
        os.replace(partial, target)
        beside = target.with_name(CALIBRATION)
        if self.calibration is None:
            beside.unlink(missing_ok=True)
        else:
            write_json(beside, self.calibration)


class _NoNumbers(TorchFunctionMode):
    """Draws no numbers for weights that have none: PyTorch would load its compiler for it, a second or two."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if func in (torch.Tensor.normal_, nn.init.normal_):
            return args[0] if args else given["tensor"]
        return func(*args, **given)


def on_meta(build: Callable[[], nn.Module], num_weights: int) -> nn.Module | None:
    """The model that ``build`` makes, on the meta device, where its weights take no memory.

    None for a class of the user's own that looks at its weights while it is made.

    Args:
        num_weights: how many weights a file has for it.

    Raises:
        ValueError: as soon as it has many more, so that a wrong depth is not built first.
    """
    thread, most, found = threading.get_ident(), 4 * num_weights + 100, 0

    def count(module: nn.Module, name: str, weight: nn.Parameter) -> None:
        nonlocal found
        found += threading.get_ident() == thread
        if found > most:
            raise ValueError(f"it describes a model of more than {most:,} weights, and the file has {num_weights:,}")

    hook = register_module_parameter_registration_hook(count)
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"), _NoNumbers(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are given when it is built to be used
            return build()
    except (NotImplementedError, RuntimeError) as error:
        if "meta tensor" not in str(error):
            raise
        return None
    finally:
        hook.remove()


def check_weights(model: nn.Module, entries: Mapping[str, Entry], path: Path, *, strict: bool = True) -> None:
    """That a file has the weights of a model, in their shapes.

    Args:
        model: on the meta device.
        entries: what the file has.
        path: the file, for messages.
        strict: every weight must be there, and no other.

    Raises:
        DamagedFileError: if it has not.
    """
    expected, names_of = model.state_dict(keep_vars=True), dict[int, list[str]]()
    for name, weight in expected.items():  # of names that share a weight a file has one
        names_of.setdefault(id(weight), []).append(name)
    missing = [names[0] for names in names_of.values() if not entries.keys() & set(names)]
    unknown = [name for name in entries if name not in expected]
    if strict and (missing or unknown):
        lists = {"missing": missing, "left over": unknown}
        found = "; ".join(f"{what}: {some_of(names)}" for what, names in lists.items() if names)
        raise DamagedFileError(f"{path} does not fit {CONFIG_NAME}: {found}. {_REMEDY}")
    for name, weight in expected.items():
        entry = entries.get(name, Entry.of(weight))
        if entry.shape != weight.shape:
            raise DamagedFileError(
                f"{path} does not fit {CONFIG_NAME}: {name} must be {tuple(weight.shape)}, got {entry.shape}. {_REMEDY}"
            )
        if entry.floating != weight.is_floating_point():
            raise DamagedFileError(f"{path}: {name} must be like {weight.dtype}, got another type. {_REMEDY}")


_REMEDY = "Copy both files from one saved model"
