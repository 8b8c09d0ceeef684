"""The contestants: a short module each, that builds a case's model from its library.

A contestant's module has

- ``PEER``: what of `benchmarks.peers` it runs on, or None for this repository;
- ``WARM_UPS``: calls before the first that counts;
- ``unsupported(case)``: why it cannot express the case, or None;
- ``note(case)``: how what it does differs from the case, or an empty string;
- ``build(case)``: a module whose forward takes the case's inputs ``{modality: tensor}`` and returns ``(batch,
  num_classes)``. Weights come from seed 0 where libraries have the same model. Libraries are imported here, never
  before: the process has the right folders on its path only then.
"""

from importlib import import_module
from types import ModuleType

MODULES = {
    "ours": "ours",
    "ours-chunked": "ours_chunked",
    "release-1.4.0": "release",
    "rival": "rival",
    "perceiver-pytorch-0.11.0": "lucidrains",
    "perceiver-io": "krasserm",
    "transformers": "huggingface",
    "flash-perceiver": "flash",
}
SAME_NUMBERS = ("release-1.4.0", "ours", "ours-chunked", "rival")
"""Contestants that have the same weights and must give the same output; the first of them that ran is compared with."""

PUBLISHED_NUMBERS = ("transformers", "ours")
"""The same for the published models."""


def contestant(name: str) -> ModuleType:
    """The contestant's module."""
    return import_module(f"{__name__}.{MODULES[name]}")
