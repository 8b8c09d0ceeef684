"""The encoder: builds the layers of every model, and is the one place where latents pass through them."""

from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from perceiver_pytorch.nn.layer import LatentTransformer, LayerParts, PerceiverLayer, SingleBlockLayer
from perceiver_pytorch.nn.sharing import LayerSharing
from perceiver_pytorch.ops import Context, threads


def build_layers(
    parts: LayerParts,
    latent_dims: Sequence[int],
    sharing: Sequence[LayerSharing],
    *,
    double_residual: bool = True,
    single_block: bool = False,
) -> nn.ModuleList:
    """One layer per entry of ``latent_dims``, made in the order of release 1.4.0, so that a seed gives its weights."""
    cross, blocks = {}, {}
    layers: list[nn.Module] = []
    for i, (latent_dim, shared) in enumerate(zip(latent_dims, sharing, strict=True)):
        if shared.cross == i:
            cross[i] = parts.cross_attend(latent_dim), parts.feed_forward(latent_dim)
        for j, owner in enumerate(shared.blocks):
            if owner == i:
                blocks[i, j] = parts.latent_block(latent_dim)
        latent_blocks = [blocks[owner, j] for j, owner in enumerate(shared.blocks)]
        if single_block:
            layers.append(SingleBlockLayer(*cross[shared.cross], *latent_blocks))
        else:
            transformer = LatentTransformer(latent_blocks)
            layers.append(PerceiverLayer(*cross[shared.cross], transformer, double_residual=double_residual))
    return nn.ModuleList(layers)


def encode(
    layers: Iterable[Callable[..., Tensor]],
    latents: Sequence[Float[Tensor, "_latents _latent_dim"]],
    contexts: Sequence[Sequence[Context]],
    *,
    recompute: bool = False,
) -> Float[Tensor, "batch latents latent_dim"]:
    """Lets the latents read the input, layer by layer.

    Args:
        layers: called with ``(x, contexts of the layer)``.
        latents: the latent array of the first layer, or one per layer (hierarchical form).
        contexts: per layer, what it reads.
        recompute: keep no activations inside a layer for the backward pass, which then runs the layer once more.

    Returns:
        The last layer's latents.
    """
    batch = contexts[0][0].data.shape[0]
    x = latents[0].expand(batch, -1, -1)
    for i, (layer, context) in enumerate(zip(layers, contexts, strict=True)):
        if 0 < i < len(latents):
            x = _enter(x, latents[i])
        if recompute and torch.is_grad_enabled():
            x = checkpoint(_again, layer, x, context, use_reentrant=False)
        else:
            x = layer(x, context)
    return x


def _again(layer: Callable[..., Tensor], x: Tensor, context: Sequence[Context]) -> Tensor:
    """The layer, which the backward pass may run within a part that has one thread."""
    with threads.together():
        return layer(x, context)


def _enter(x: Tensor, latents: Tensor) -> Tensor:
    """Adds the previous layer's first latents, padded with zeros to the new width, to a layer's own latents."""
    num_latents, latent_dim = latents.shape
    return latents + F.pad(x, (0, latent_dim - x.shape[-1]))[:, :num_latents]
