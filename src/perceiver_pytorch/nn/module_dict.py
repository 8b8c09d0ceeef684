"""Modules by any name, such as a column's or an output's."""

from torch import nn


class NamedModules(nn.ModuleDict):
    """A `torch.nn.ModuleDict` that takes the names of its own methods, too: columns are called "type" or "items"."""

    def add_module(self, name: str, module: nn.Module | None) -> None:
        self._modules[name] = module  # type: ignore[assignment]

    def _get_name(self) -> str:
        return "ModuleDict"
