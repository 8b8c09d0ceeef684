"""Checkpoints of other libraries: transformers' Perceiver, release 1.4.0 and perceiver-pytorch 0.11.0.

`load` opens any of them, and what ``save_pretrained`` wrote; `convert` writes ours. The modules `huggingface` and
`upstream` have the loaders of each kind.
"""

from typing import TYPE_CHECKING

from perceiver_pytorch._lazy import lazily

if TYPE_CHECKING:
    from perceiver_pytorch.interop.any_checkpoint import convert, load
    from perceiver_pytorch.interop.published_perceiver import PublishedPerceiver

__all__ = ["PublishedPerceiver", "convert", "load"]

# A model's class must not need what reads other libraries' files.
__getattr__, __dir__ = lazily(__name__, {"any_checkpoint": "convert load", "published_perceiver": "PublishedPerceiver"})
