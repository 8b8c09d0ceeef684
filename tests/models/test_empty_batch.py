"""A batch of no samples gives a result of none, of the right shape, and gradients of zero."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import perceiver_pytorch as P
from perceiver_pytorch.ops import backend_names, use_backend
from small_models import CLASSES, build, inputs, perceiver_io


def language_model() -> nn.Module:
    sizes = {"embedding_dim": 16, "num_latents": 4, "latent_dim": 16, "depth": 1, "qk_dim": 16, "v_dim": 16}
    return P.PerceiverLM(max_length=12, **sizes)


def causal_model() -> nn.Module:
    sizes = {"latent_dim": 16, "depth": 1, "heads": 2, "dim_head": 8, "cross_heads": 2, "cross_dim_head": 8}
    return P.PerceiverAR(max_length=12, num_latents=4, **sizes)


def several_tasks() -> nn.Module:
    return P.MultiTaskPerceiver(encoder=build("MultiModalityPerceiverNoPooling"), tasks={"a": 3, "b": 1})


def several_outputs() -> nn.Module:
    return perceiver_io(outputs=[P.Output("pixels", P.InputQueries("image"), 3), P.Output("c", P.LearnedQueries(6), 3)])


TOKENS = torch.randint(6, 262, (2, 12))
MODELS: dict[str, tuple[Callable[[], nn.Module], Any]] = {
    **{name: (lambda name=name: build(name), inputs(name)) for name in CLASSES},
    "PerceiverIO": (several_outputs, inputs("MultiModalityPerceiver")),
    "MultiTaskPerceiver": (several_tasks, inputs("MultiModalityPerceiver")),
    "PerceiverLM": (language_model, TOKENS),
    "PerceiverAR": (causal_model, TOKENS),
}


def results(output: Tensor | dict[str, Tensor]) -> list[Tensor]:
    return [output] if isinstance(output, Tensor) else list(output.values())


@pytest.mark.parametrize("name", MODELS)
def test_every_model(name: str) -> None:
    make, batch = MODELS[name]
    model = make()
    empty = {k: v[:0] for k, v in batch.items()} if isinstance(batch, dict) else batch[:0]
    for found, expected in zip(results(model(empty)), results(model(batch)), strict=True):
        assert found.shape == (0, *expected.shape[1:])
    sum(found.sum() for found in results(model(empty))).backward()
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())
    with torch.no_grad():
        assert all(not found.numel() for found in results(model(empty)))


@pytest.mark.parametrize("backend", [name for name in backend_names() if name != "triton"])
def test_every_backend_and_masks(backend: str) -> None:
    model, batch = build("MultiModalityPerceiver"), inputs("MultiModalityPerceiver")
    empty = {name: data[:0] for name, data in batch.items()}
    with use_backend(backend):
        model(
            empty, {"image": torch.ones(0, 5, 4, dtype=torch.bool)}, present={"audio": torch.ones(0, dtype=torch.bool)}
        )
        model(empty).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
