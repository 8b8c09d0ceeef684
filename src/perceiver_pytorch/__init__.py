"""Perceiver models for any mix of image, video, audio, text, series and table data.

The models are `Perceiver`, `MultiModalityPerceiver`, `MultiModalityWithTextPerceiver`,
`HierarchicalMultiModalityPerceiver`, the ``NoPooling`` form of each multi-modality model, `PerceiverIO` and
`PerceiverAR`.
"""

from typing import TYPE_CHECKING

from perceiver_pytorch._lazy import lazily

if TYPE_CHECKING:
    from perceiver_pytorch._saved_files import DamagedFileError
    from perceiver_pytorch.models.blended import BlendedPerceiver
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
    from perceiver_pytorch.models.paper import paper_model
    from perceiver_pytorch.models.perceiver import Perceiver
    from perceiver_pytorch.models.perceiver_io import PerceiverIO
    from perceiver_pytorch.models.streamed_input import StreamedInput
    from perceiver_pytorch.models.style import Style
    from perceiver_pytorch.models.text.perceiver_ar import PerceiverAR
    from perceiver_pytorch.models.text.perceiver_lm import PerceiverLM
    from perceiver_pytorch.nn.queries import FourierQueries, GivenQueries, InputQueries, LearnedQueries

__all__ = [
    "BlendedPerceiver",
    "DamagedFileError",
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
    "StreamedInput",
    "Style",
    "paper_model",
]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "_saved_files": "DamagedFileError",
        "models.blended": "BlendedPerceiver",
        "models.hierarchical_multi_modality_perceiver": "HierarchicalConfigurator HierarchicalMultiModalityPerceiver "
        "HierarchicalMultiModalityPerceiverNoPooling",
        "models.modalities": "InputModality InputModalityWithEmbedding",
        "models.multi_modality_perceiver": "MultiModalityPerceiver MultiModalityPerceiverNoPooling",
        "models.multi_modality_with_text_perceiver": "MultiModalityWithTextPerceiver "
        "MultiModalityWithTextPerceiverNoPooling",
        "models.multi_task_perceiver": "MultiTaskPerceiver",
        "models.outputs": "Output",
        "models.paper": "paper_model",
        "models.perceiver": "Perceiver",
        "models.perceiver_io": "PerceiverIO",
        "models.streamed_input": "StreamedInput",
        "models.style": "Style",
        "models.text.perceiver_ar": "PerceiverAR",
        "models.text.perceiver_lm": "PerceiverLM",
        "nn.queries": "FourierQueries GivenQueries InputQueries LearnedQueries",
    },
)
