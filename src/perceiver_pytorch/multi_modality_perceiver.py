"""Release 1.4.0's path; see `perceiver_pytorch.models.multi_modality_perceiver`."""

from perceiver_pytorch.models.multi_modality_perceiver import (
    InputModality,
    MultiModalityPerceiver,
    MultiModalityPerceiverNoPooling,
)

__all__ = ["InputModality", "MultiModalityPerceiver", "MultiModalityPerceiverNoPooling"]
