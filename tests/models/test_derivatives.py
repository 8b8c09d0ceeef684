"""Derivatives of whole models that are not a single backward pass, token ids included."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap

import perceiver_pytorch as P
from small_models import CLASSES, build, inputs, perceiver_io

TEXT = {"max_length": 12, "num_latents": 4, "latent_dim": 8, "depth": 1}
TEXTS = {
    "PerceiverLM": {"embedding_dim": 8, "qk_dim": 8, "v_dim": 8, "heads": 2, "cross_heads": 2, "decoder_heads": 2},
    "PerceiverAR": {"heads": 2, "dim_head": 4, "cross_heads": 2, "cross_dim_head": 4},
}


def problem(name: str) -> tuple[nn.Module, dict[str, Tensor]]:
    """A model in float64, and a batch of three samples by name."""
    torch.manual_seed(0)
    if name in TEXTS:
        model, batch = getattr(P, name)(**TEXT, **TEXTS[name]), torch.randint(6, 262, (3, 9))
    elif name == "PerceiverIO":
        model = perceiver_io(outputs=[P.Output("pixels", P.InputQueries("image"), 3)])
        batch = inputs("MultiModalityPerceiver", 3)
    else:
        model, batch = build(name), inputs(name, 3)
    batch = batch if isinstance(batch, dict) else {"": batch}
    return model.double(), {k: v.double() if v.is_floating_point() else v for k, v in batch.items()}


def loss(model: nn.Module, parameters: Any, sample: dict[str, Tensor]) -> Tensor:
    batch = {key: value.unsqueeze(0) for key, value in sample.items()}
    return functional_call(model, parameters, (batch.get("", batch),)).square().mean()


@pytest.mark.parametrize("name", [*CLASSES, "PerceiverIO", *TEXTS])
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # torch's own use of it
def test_gradients_of_samples_and_products_with_the_hessian(name: str) -> None:
    model, batch = problem(name)
    model.recompute = True
    weights = {key: weight.detach() for key, weight in model.named_parameters()}
    each = vmap(grad(lambda p, sample: loss(model, p, sample)), in_dims=(None, 0))(weights, batch)
    for i in range(3):
        sample = {key: value[i] for key, value in batch.items()}
        named = dict(model.named_parameters())
        found = torch.autograd.grad(
            loss(model, named, sample), list(named.values()), create_graph=True, materialize_grads=True
        )
        for key, wanted in zip(named, found, strict=True):
            torch.testing.assert_close(each[key][i], wanted.detach(), rtol=1e-8, atol=1e-12, msg=key)
    products = torch.autograd.grad(
        sum((g * w.detach()).sum() for g, w in zip(found, named.values(), strict=True)),
        list(named.values()),
        materialize_grads=True,
    )
    _, by_forward = jvp(grad(lambda p: loss(model, p, sample)), (weights,), (weights,))
    for key, product in zip(named, products, strict=True):
        torch.testing.assert_close(by_forward[key], product, rtol=1e-8, atol=1e-12, msg=key)
