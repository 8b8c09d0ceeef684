"""Release 1.4.0's path of the declared inputs; see `perceiver_pytorch.models.modalities`."""

from perceiver_pytorch.models.modalities import (
    InputModality,
    InputModalityWithEmbedding,
    make_context,
    modality_encoding,
    modality_from_config,
)

__all__ = ["InputModality", "InputModalityWithEmbedding", "make_context", "modality_encoding", "modality_from_config"]
