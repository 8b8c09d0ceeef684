"""Release 1.4.0's path; see `perceiver_pytorch.models.multi_modality_with_text_perceiver`."""

from perceiver_pytorch.models.multi_modality_with_text_perceiver import (
    InputModalityWithEmbedding,
    MultiModalityWithTextPerceiver,
    MultiModalityWithTextPerceiverNoPooling,
)

__all__ = ["InputModalityWithEmbedding", "MultiModalityWithTextPerceiver", "MultiModalityWithTextPerceiverNoPooling"]
