"""Perceiver models for any mix of image, video, audio, text, series and table data.

The models are `Perceiver`, `MultiModalityPerceiver`, `MultiModalityWithTextPerceiver`,
`HierarchicalMultiModalityPerceiver`, the ``NoPooling`` form of each multi-modality model, `PerceiverIO` and
`PerceiverAR`.
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
    from perceiver_pytorch.multi_task_perceiver import MultiTaskPerceiver
    from perceiver_pytorch.nn.queries import FourierQueries, GivenQueries, InputQueries, LearnedQueries
    from perceiver_pytorch.outputs import Output
    from perceiver_pytorch.perceiver import Perceiver
    from perceiver_pytorch.perceiver_ar import PerceiverAR
    from perceiver_pytorch.perceiver_io import PerceiverIO
    from perceiver_pytorch.perceiver_lm import PerceiverLM
    from perceiver_pytorch.style import Style

__all__ = [
    "FourierQueries",
    "GivenQueries",
    "HierarchicalConfigurator",
    "HierarchicalMultiModalityPerceiver",
    "HierarchicalMultiModalityPerceiverNoPooling",
    "InputModality",
    "InputModalityWithEmbedding",
    "InputQueries",
    "LearnedQueries",
    "MultiModalityPerceiver",
    "MultiModalityPerceiverNoPooling",
    "MultiModalityWithTextPerceiver",
    "MultiModalityWithTextPerceiverNoPooling",
    "MultiTaskPerceiver",
    "Output",
    "Perceiver",
    "PerceiverAR",
    "PerceiverIO",
    "PerceiverLM",
    "Style",
]

_MODULES = {
    "FourierQueries": "nn.queries",
    "GivenQueries": "nn.queries",
    "HierarchicalConfigurator": "hierarchical_multi_modality_perceiver",
    "HierarchicalMultiModalityPerceiver": "hierarchical_multi_modality_perceiver",
    "HierarchicalMultiModalityPerceiverNoPooling": "hierarchical_multi_modality_perceiver",
    "InputModality": "modalities",
    "InputModalityWithEmbedding": "modalities",
    "InputQueries": "nn.queries",
    "LearnedQueries": "nn.queries",
    "MultiModalityPerceiver": "multi_modality_perceiver",
    "MultiModalityPerceiverNoPooling": "multi_modality_perceiver",
    "MultiModalityWithTextPerceiver": "multi_modality_with_text_perceiver",
    "MultiModalityWithTextPerceiverNoPooling": "multi_modality_with_text_perceiver",
    "Output": "outputs",
    "MultiTaskPerceiver": "multi_task_perceiver",
    "Perceiver": "perceiver",
    "PerceiverAR": "perceiver_ar",
    "PerceiverIO": "perceiver_io",
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
