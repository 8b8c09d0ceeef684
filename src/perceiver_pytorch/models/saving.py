"""Saving and loading, the same for every model: safetensors and a JSON configuration, in a folder or on the hub."""

import os
from pathlib import Path
from typing import Any

from huggingface_hub import PyTorchModelHubMixin
from huggingface_hub.constants import SAFETENSORS_SINGLE_FILE
from safetensors.torch import save_model
from torch import nn

CLASS = "class"
"""Where a file of weights names the model's class, in its metadata."""


class SavedModel(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="perceiver-multi-modality-pytorch",
    tags=["perceiver"],
    license="mit",
):
    """A module with ``save_pretrained``, ``from_pretrained`` and ``push_to_hub``.

    The configuration is what the constructor was given, where that is plain values; `_record_config` adds the rest.
    """

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

    @classmethod
    def _from_pretrained(cls, *, strict: bool = True, **arguments: Any) -> Any:
        """Strict unless asked otherwise: weights that a file lacks would stay random, unseen."""
        return super()._from_pretrained(strict=strict, **arguments)

    def _save_pretrained(self, save_directory: Path) -> None:
        """Writes the weights under a temporary name first: a file that is there is whole. It names the model's class,
        for `perceiver_pytorch.interop.load`.
        """
        target = Path(save_directory) / SAFETENSORS_SINGLE_FILE
        partial = target.with_name(target.name + ".partial")
        partial.touch()
        mode = partial.stat().st_mode  # as of any file here; that of safetensors is for its owner alone
        save_model(self, str(partial), metadata={CLASS: type(self).__name__})
        partial.chmod(mode)
        os.replace(partial, target)
