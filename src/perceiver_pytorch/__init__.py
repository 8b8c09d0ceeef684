"""Perceiver models for any mix of image, video, audio, text, series and table data.

The models are `Perceiver`, `MultiModalityPerceiver`, `MultiModalityWithTextPerceiver`,
`HierarchicalMultiModalityPerceiver`, and the ``NoPooling`` form of each multi-modality model.
"""

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
    "Style",
]
