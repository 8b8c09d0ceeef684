"""Perceiver models for any mix of image, video, audio, text, series and table data.

The models are `Perceiver`, `MultiModalityPerceiver`, `MultiModalityWithTextPerceiver`,
`HierarchicalMultiModalityPerceiver`, the ``NoPooling`` form of each multi-modality model, `PerceiverIO` and
`PerceiverAR`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perceiver_pytorch.models.hierarchical_multi_modality_perceiver import (
        HierarchicalConfigurator,
        HierarchicalMultiModalityPerceiver,
        HierarchicalMultiModalityPerceiverNoPooling,
    )
    from perceiver_pytorch.models.modalities import InputModality, InputModalityWithEmbedding
    from perceiver_pytorch.models.multi_modality_perceiver import (
        MultiModalityPerceiver,
        MultiModalityPerceiverNoPooling,
    )
    from perceiver_pytorch.models.multi_modality_with_text_perceiver import (
        MultiModalityWithTextPerceiver,
        MultiModalityWithTextPerceiverNoPooling,
    )
    from perceiver_pytorch.models.multi_task_perceiver import MultiTaskPerceiver
    from perceiver_pytorch.models.outputs import Output
    from perceiver_pytorch.models.perceiver import Perceiver
    from perceiver_pytorch.models.perceiver_io import PerceiverIO
    from perceiver_pytorch.models.style import Style
    from perceiver_pytorch.models.text.perceiver_ar import PerceiverAR
    from perceiver_pytorch.models.text.perceiver_lm import PerceiverLM
    from perceiver_pytorch.nn.queries import FourierQueries, GivenQueries, InputQueries, LearnedQueries

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
    "HierarchicalConfigurator": "models.hierarchical_multi_modality_perceiver",
    "HierarchicalMultiModalityPerceiver": "models.hierarchical_multi_modality_perceiver",
    "HierarchicalMultiModalityPerceiverNoPooling": "models.hierarchical_multi_modality_perceiver",
    "InputModality": "models.modalities",
    "InputModalityWithEmbedding": "models.modalities",
    "InputQueries": "nn.queries",
    "LearnedQueries": "nn.queries",
    "MultiModalityPerceiver": "models.multi_modality_perceiver",
    "MultiModalityPerceiverNoPooling": "models.multi_modality_perceiver",
    "MultiModalityWithTextPerceiver": "models.multi_modality_with_text_perceiver",
    "MultiModalityWithTextPerceiverNoPooling": "models.multi_modality_with_text_perceiver",
    "Output": "models.outputs",
    "MultiTaskPerceiver": "models.multi_task_perceiver",
    "Perceiver": "models.perceiver",
    "PerceiverAR": "models.text.perceiver_ar",
    "PerceiverIO": "models.perceiver_io",
    "PerceiverLM": "models.text.perceiver_lm",
    "Style": "models.style",
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
