"""Checkpoints of other libraries: transformers' Perceiver, release 1.4.0 and perceiver-pytorch 0.11.0.

`load` opens any of them, and what ``save_pretrained`` wrote; `convert` writes ours. The modules `huggingface` and
`upstream` have the loaders of each kind.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perceiver_pytorch.interop.any_checkpoint import convert, load
    from perceiver_pytorch.interop.published_perceiver import PublishedPerceiver

__all__ = ["PublishedPerceiver", "convert", "load"]


def __getattr__(name: str) -> Any:
    """Imports a public name on first use: a model's class must not need what reads other libraries' files."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "published_perceiver" if name == "PublishedPerceiver" else "any_checkpoint"
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
