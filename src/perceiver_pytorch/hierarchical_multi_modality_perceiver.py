"""Release 1.4.0's path; see `perceiver_pytorch.models.hierarchical_multi_modality_perceiver`."""

from perceiver_pytorch.models.hierarchical_multi_modality_perceiver import (
    HierarchicalConfigurator,
    HierarchicalMultiModalityPerceiver,
    HierarchicalMultiModalityPerceiverNoPooling,
)

__all__ = [
    "HierarchicalConfigurator",
    "HierarchicalMultiModalityPerceiver",
    "HierarchicalMultiModalityPerceiverNoPooling",
]
