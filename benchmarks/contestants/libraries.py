"""Builds a case from the classes that release 1.4.0 and this package have in common."""

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.cases import Case, Modality


def build_from(library: Any, case: Case) -> nn.Module:
    """The case's model with the weights of seed 0, from the classes that `library` has as attributes.

    Both libraries draw their weights in the same order.
    """
    torch.manual_seed(0)
    cls = getattr(library, case.model)
    if case.model != "Perceiver":
        modalities = [_modality(library, case, modality) for modality in case.modalities]
        return cls(modalities=modalities, **case.arguments)
    only = case.modalities[0]
    return OneInput(
        cls(
            input_channels=only.channels,
            input_axis=len(only.axes),
            num_freq_bands=only.num_freq_bands,
            max_freq=only.max_freq,
            **case.arguments,
        )
    )


class OneInput(nn.Module):
    """Gives a model that takes one tensor the only modality of a case."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        (data,) = inputs.values()
        return self.model(data)


def bare(model: nn.Module) -> nn.Module:
    """The library's own model, whose state dict has the release's keys."""
    return model.model if isinstance(model, OneInput) else model


def _modality(library: Any, case: Case, modality: Modality) -> Any:
    arguments = (modality.name, modality.channels, len(modality.axes), modality.num_freq_bands, modality.max_freq)
    if case.model != "MultiModalityWithTextPerceiver":
        return library.InputModality(*arguments)
    if not modality.vocabulary:
        return library.InputModalityWithEmbedding(*arguments)  # the release's text model takes no plain InputModality
    embedding = nn.Embedding(modality.vocabulary, modality.width)
    return library.InputModalityWithEmbedding(*arguments, embedding=embedding)
