"""Small random models of transformers' Perceiver classes, saved as transformers saves them."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

SIZES = {
    "num_latents": 7,
    "d_latents": 24,
    "num_self_attends_per_block": 2,
    "num_blocks": 2,
    "num_self_attention_heads": 4,
    "num_cross_attention_heads": 1,
    "attention_probs_dropout_prob": 0.0,
}
TEXT = {"d_model": 32, "vocab_size": 40, "max_position_embeddings": 16, "num_cross_attention_heads": 2}
CLIP = {
    "num_blocks": 1,
    "image_size": 16,
    "num_frames": 3,
    "audio_samples_per_frame": 32,
    "samples_per_patch": 4,
    "output_shape": [1, 3, 16, 16],
    "output_num_channels": 6,
    "_label_trainable_num_channels": 12,
    "num_labels": 5,
}


@dataclass(frozen=True)
class Peer:
    """One class of transformers: its task, a small configuration, inputs, and what else its forward gets."""

    name: str
    task: str
    config: dict[str, Any] = field(default_factory=dict)

    def build(self, seed: int = 0) -> nn.Module:
        """A model with random weights, biases and norms included."""
        import transformers

        torch.manual_seed(seed)
        model = getattr(transformers, self.name)(transformers.PerceiverConfig(**{**SIZES, **self.config}))
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.2 if parameter.dim() < 2 else parameter[0].numel() ** -0.5)
        for name, parameter in model.named_parameters():
            if "layernorm" in name and name.endswith("weight"):
                nn.init.normal_(parameter, 1.0, 0.2)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean, std=0.5)
                nn.init.uniform_(module.running_var, 0.5, 2.0)
        return model.eval()

    def inputs(self, batch: int = 2) -> Any:
        """What the model takes as ``inputs``; floats get gradients."""
        torch.manual_seed(1)

        def floats(*shape: int) -> Tensor:
            return torch.randn(batch, *shape, requires_grad=True)

        if self.task in ("masked-lm", "text-classification"):
            return torch.randint(self.config["vocab_size"], (batch, 11))
        if self.task == "optical-flow":
            return floats(2, 27, *self.config["train_size"])
        if self.task == "multimodal-autoencoding":
            clip = {"image": floats(3, 3, 16, 16), "audio": floats(96, 1)}
            return {**clip, "label": torch.randn(batch, self.config["num_labels"])}
        side = self.config.get("image_size", 21)
        return floats(3, side, side)

    def options(self) -> dict[str, Any]:
        """Arguments of the forward besides the inputs."""
        if self.task != "multimodal-autoencoding":
            return {}
        points = {"image": torch.tensor([0, 1, 50, 767, 300]), "audio": torch.tensor([23, 0, 5]), "label": None}
        return {"subsampled_output_points": points}


PEERS = {
    peer.task: peer
    for peer in (
        Peer("PerceiverForMaskedLM", "masked-lm", {**TEXT, "qk_channels": 16, "v_channels": 24}),
        Peer("PerceiverForSequenceClassification", "text-classification", {**TEXT, "num_labels": 3}),
        Peer("PerceiverForImageClassificationLearned", "image-learned", {"image_size": 9, "num_labels": 6}),
        Peer("PerceiverForImageClassificationFourier", "image-fourier", {"num_labels": 6}),
        Peer("PerceiverForImageClassificationConvProcessing", "image-conv", {"num_labels": 6}),
        Peer("PerceiverForOpticalFlow", "optical-flow", {"train_size": [10, 13]}),
        Peer("PerceiverForMultimodalAutoencoding", "multimodal-autoencoding", CLIP),
    )
}


@cache
def built(task: str) -> nn.Module:
    """The one model of a task for all tests, not to be changed."""
    return PEERS[task].build()


def save(model: nn.Module, folder: Path, *, pickled: bool = False, **options: Any) -> Path:
    """``save_pretrained``, or the older form that pickles tensors."""
    model.save_pretrained(folder, **options)
    if pickled:
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
    return folder
