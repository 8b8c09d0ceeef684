"""Perceiver models for any mix of image, video, audio, text, series and table data.

The models are `Perceiver`, `MultiModalityPerceiver`, `MultiModalityWithTextPerceiver`,
`HierarchicalMultiModalityPerceiver`, and the ``NoPooling`` form of each multi-modality model.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perceiver_pytorch.hierarchical_multi_modality_perceiver import (
        HierarchicalConfigurator,
        HierarchicalMultiModalityPerceiver,
        HierarchicalMultiModalityPerceiverNoPooling,
    )
    from perceiver_pytorch.modalities import InputModality, InputModalityWithEmbedding
    from perceiver_pytorch.multi_modality_perceiver import MultiModalityPerceiver, MultiModalityPerceiverNoPooling
    from perceiver_pytorch.multi_modality_with_text_perceiver import (
        MultiModalityWithTextPerceiver,
        MultiModalityWithTextPerceiverNoPooling,
    )
    from perceiver_pytorch.perceiver import Perceiver
    from perceiver_pytorch.perceiver_ar import PerceiverAR
    from perceiver_pytorch.perceiver_lm import PerceiverLM
    from perceiver_pytorch.style import Style

__all__ = [
    "HierarchicalConfigurator",
    "HierarchicalMultiModalityPerceiver",
    "HierarchicalMultiModalityPerceiverNoPooling",
    "InputModality",
    "InputModalityWithEmbedding",
    "MultiModalityPerceiver",
    "MultiModalityPerceiverNoPooling",
    "MultiModalityWithTextPerceiver",
    "MultiModalityWithTextPerceiverNoPooling",
    "Perceiver",
    "PerceiverAR",
    "PerceiverLM",
    "Style",
]

_MODULES = {
    "HierarchicalConfigurator": "hierarchical_multi_modality_perceiver",
    "HierarchicalMultiModalityPerceiver": "hierarchical_multi_modality_perceiver",
    "HierarchicalMultiModalityPerceiverNoPooling": "hierarchical_multi_modality_perceiver",
    "InputModality": "modalities",
    "InputModalityWithEmbedding": "modalities",
    "MultiModalityPerceiver": "multi_modality_perceiver",
    "MultiModalityPerceiverNoPooling": "multi_modality_perceiver",
    "MultiModalityWithTextPerceiver": "multi_modality_with_text_perceiver",
    "MultiModalityWithTextPerceiverNoPooling": "multi_modality_with_text_perceiver",
    "Perceiver": "perceiver",
    "PerceiverAR": "perceiver_ar",
    "PerceiverLM": "perceiver_lm",
    "Style": "style",
}


def __getattr__(name: str) -> Any:
    """Imports a public name on first use: the command sets up threads before PyTorch is loaded."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
