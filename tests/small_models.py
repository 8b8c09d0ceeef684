"""One small model per class, and a batch for it."""

from typing import Any

import torch
from torch import Tensor, nn

import perceiver_pytorch as P

CLASSES = (
    "Perceiver",
    "MultiModalityPerceiver",
    "MultiModalityPerceiverNoPooling",
    "MultiModalityWithTextPerceiver",
    "MultiModalityWithTextPerceiverNoPooling",
    "HierarchicalMultiModalityPerceiver",
    "HierarchicalMultiModalityPerceiverNoPooling",
)
VOCABULARY = 19


def image(**changes: Any) -> P.InputModality:
    return P.InputModality("image", 3, 2, 3, 6.0, **changes)


def audio(**changes: Any) -> P.InputModality:
    return P.InputModality("audio", 1, 1, 4, 8.0, **changes)


def text(width: int = 12, **changes: Any) -> P.InputModalityWithEmbedding:
    return P.InputModalityWithEmbedding("text", 1, 1, 2, 4.0, embedding=nn.Embedding(VOCABULARY, width), **changes)


def options(name: str, **changes: Any) -> dict[str, Any]:
    """Constructor arguments of a small model."""
    sizes: dict[str, Any] = {"depth": 2, "cross_dim_head": 4, "latent_heads": 2, "latent_dim_head": 4}
    if name == "Perceiver":
        sizes |= {"num_freq_bands": 3, "max_freq": 6.0}
    else:
        sizes |= {"modalities": [image(), text() if "WithText" in name else audio()], "num_latent_blocks_per_layer": 2}
    if name.startswith("Hierarchical"):
        sizes |= {"configurator": P.HierarchicalConfigurator(3, 6, 6)}
    else:
        sizes |= {"num_latents": 4, "latent_dim": 8}
    if not name.endswith("NoPooling"):
        sizes |= {"num_classes": 5}
    return sizes | changes


def build(name: str, **changes: Any) -> nn.Module:
    torch.manual_seed(0)
    return getattr(P, name)(**options(name, **changes))


def perceiver_io(**changes: Any) -> nn.Module:
    """A small Perceiver IO with every kind of query."""
    torch.manual_seed(0)
    outputs = [
        P.Output("label", P.LearnedQueries(6), 10),
        P.Output("map", P.FourierQueries((3, 4), 2), 2),
        P.Output("pixels", P.InputQueries("image"), 3),
        P.Output("mine", P.GivenQueries(5), None),
    ]
    sizes: dict[str, Any] = {"num_latents": 4, "latent_dim": 8, "num_latent_blocks_per_layer": 1, "latent_heads": 2}
    sizes |= {"modalities": [image(), audio()], "outputs": outputs, "num_latent_block_repeats": 1}
    return P.PerceiverIO(**sizes | changes)


def multi_task() -> nn.Module:
    """Two tasks on one encoder."""
    return P.MultiTaskPerceiver(encoder=build("MultiModalityWithTextPerceiverNoPooling"), tasks={"kind": 3, "age": 1})


def blended(**changes: Any) -> nn.Module:
    """A model and a head for each of its modalities."""
    trunk = build("MultiModalityWithTextPerceiver", **changes)
    channels = {"image": 3, "text": 12}
    heads = [
        {"reads": [[n, None]], "name": "pooled", "channels": c, "size": 5, "hidden": 6} for n, c in channels.items()
    ]
    return P.BlendedPerceiver(trunk=trunk, heads=heads)


def inputs(name: str, batch: int = 2) -> Any:
    """What `forward` takes as its first argument."""
    if name == "Perceiver":
        return pictures(batch)
    return {"image": pictures(batch)} | ({"text": words(batch)} if "WithText" in name else {"audio": sounds(batch)})


def pictures(batch: int = 2) -> Tensor:
    return torch.rand(batch, 5, 4, 3)


def sounds(batch: int = 2) -> Tensor:
    return torch.randn(batch, 11, 1)


def words(batch: int = 2, length: int = 7) -> Tensor:
    return torch.randint(VOCABULARY, (batch, length))


def number_of_tokens(given: Any) -> int:
    """Tokens per sample of `inputs`."""
    tensors = given.values() if isinstance(given, dict) else [given]
    return sum(t.shape[1] if not t.is_floating_point() else t.shape[1:-1].numel() for t in tensors)
