"""The published models, here and in transformers: the same sizes, weights and inputs.

Weights are drawn by their name in transformers, so that neither process needs the other's library.
"""

import zlib
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.cases import Case

FIRST_POINTS = {"image": 6272, "audio": 15}
"""Points of a clip that are decoded at a time, in the published use: a 128th of all."""
SAMPLES_PER_PATCH = 16
CLASSES = {
    "masked-lm": "PerceiverForMaskedLM",
    "image-fourier": "PerceiverForImageClassificationFourier",
    "optical-flow": "PerceiverForOpticalFlow",
    "multimodal-autoencoding": "PerceiverForMultimodalAutoencoding",
}


def ours(case: Case) -> nn.Module:
    """The case's model of this repository."""
    from perceiver_pytorch.interop.huggingface import state_dict_of
    from perceiver_pytorch.interop.published_perceiver import PublishedPerceiver

    model = PublishedPerceiver(case.arguments["task"], case.arguments["sizes"])
    _draw(state_dict_of(model))
    return Published(model, case)


def theirs(case: Case) -> nn.Module:
    """The same of transformers."""
    import transformers

    names = {"label_channels": "_label_trainable_num_channels"}
    sizes = {names.get(name, name): value for name, value in case.arguments["sizes"].items()}
    # Without dropout, which has no counterpart of the same numbers.
    config = transformers.PerceiverConfig(**sizes, attention_probs_dropout_prob=0.0)
    model = getattr(transformers, CLASSES[case.arguments["task"]])(config)
    _draw(model.state_dict())
    return Published(model, case)


class Published(nn.Module):
    """Gives a model a case's inputs, and all its outputs as one tensor, each part's beginning first."""

    def __init__(self, model: nn.Module, case: Case) -> None:
        super().__init__()
        self.model = model
        self.options: dict[str, Any] = {}
        if case.arguments["task"] == "multimodal-autoencoding":
            video, audio, _ = case.modalities
            lengths = {"image": video.frame_points, "audio": audio.axes[0] // SAMPLES_PER_PATCH}
            points = {name: torch.arange(min(number, lengths[name])) for name, number in FIRST_POINTS.items()}
            points = {"image": points["image"], "audio": points["audio"], "label": None}
            self.options = {"subsampled_output_points": points}

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        given = next(iter(inputs.values())) if len(inputs) == 1 else inputs
        outputs = self.model(inputs=given, **self.options)
        outputs = getattr(outputs, "logits", outputs)
        if isinstance(outputs, Tensor):
            return outputs
        return torch.cat([outputs[name].flatten(1) for name in ("label", "audio", "image")], dim=1)


def _draw(weights: dict[str, Tensor]) -> None:
    """Fills tensors by their names: norms about 1, biases small, matrices so that sizes stay as they are."""
    for name, tensor in weights.items():
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        values = torch.randn(tensor.shape, generator=generator)
        if tensor.dim() > 1:
            values *= tensor[0].numel() ** -0.5
        else:
            values = values * 0.05 + ("norm" in name and name.endswith("weight"))
        with torch.no_grad():
            tensor.copy_(values)
