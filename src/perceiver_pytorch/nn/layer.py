"""One layer of a Perceiver: a cross-attend and a latent transformer.

Layers are ``ModuleList`` subclasses: their entries keep the numbered state-dict keys of release 1.4.0
(``layers.0.2.latent_blocks.1.0.fn.to_q.weight``) and code that unpacks them works, while ours reads them by name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from perceiver_pytorch.nn import latent_parts, single_thread
from perceiver_pytorch.nn.attention import Attention
from perceiver_pytorch.nn.cross_attend import CrossAttend
from perceiver_pytorch.nn.encoder import encode
from perceiver_pytorch.nn.feed_forward import FEED_FORWARD
from perceiver_pytorch.nn.plain import is_as_made
from perceiver_pytorch.nn.residual import PreNorm
from perceiver_pytorch.nn.sharing import LayerSharing
from perceiver_pytorch.nn.sizes import Sizes
from perceiver_pytorch.ops.streamed import AnyContext


class LatentBlock(nn.ModuleList):
    """Self-attention among the latents and a feed-forward, each with its residual.

    Attributes:
        always_called: every forward of a model calls it, whatever is in the batch; so ranks that share weights may each
            gather those of this part when they come to it.
    """

    always_called = True

    def __init__(self, attention: nn.Module, feed_forward: nn.Module) -> None:
        super().__init__([attention, feed_forward])

    def forward(self, x: Float[Tensor, "batch latents latent_dim"]) -> Float[Tensor, "batch latents latent_dim"]:
        attention, feed_forward = self
        x = attention(x) + x
        return feed_forward(x) + x


class LatentTransformer(nn.Module):
    """A stack of latent blocks."""

    def __init__(self, blocks: Sequence[LatentBlock]) -> None:
        super().__init__()
        self.latent_blocks = nn.ModuleList(blocks)
        self.num_latent_blocks_per_layer = len(blocks)

    def forward(self, x: Float[Tensor, "batch latents latent_dim"]) -> Float[Tensor, "batch latents latent_dim"]:
        return encode(x, self.latent_blocks)


class PerceiverLayer(nn.ModuleList):
    """Cross-attend, its feed-forward, and a latent transformer.

    Args:
        cross_attend, feed_forward, latent_transformer: the parts.
        double_residual: add the latent transformer's input to its output once more, around blocks that already add
            theirs, as the multi-modality models of release 1.4.0 do (the paper does not).
    """

    def __init__(
        self,
        cross_attend: nn.Module,
        feed_forward: nn.Module,
        latent_transformer: nn.Module,
        *,
        double_residual: bool = True,
    ) -> None:
        super().__init__([cross_attend, feed_forward, latent_transformer])
        self.double_residual = double_residual

    @property
    def cross_attend(self) -> nn.Module:
        return self[0]

    @property
    def feed_forward(self) -> nn.Module:
        return self[1]

    @property
    def latent_transformer(self) -> nn.Module:
        return self[2]

    def forward(
        self, x: Float[Tensor, "batch latents latent_dim"], context: Sequence[AnyContext]
    ) -> Float[Tensor, "batch latents latent_dim"]:
        x = self.cross_attend(x, context=context) + x
        out = latent_parts.through(x, self._parts(), keep=1 if self.double_residual else None)
        if out is not None:
            return out
        x = single_thread.run(self.feed_forward, x) + x
        out = single_thread.run(self.latent_transformer, x)
        return out + x if self.double_residual else out

    def _parts(self) -> list[nn.Module]:
        """What follows the cross-attend: parts that each add to the latents, where that is all that their owners do."""
        transformer: Any = self.latent_transformer
        if not is_as_made(transformer, LatentTransformer) or not is_as_made(transformer.latent_blocks, nn.ModuleList):
            return [self.feed_forward, transformer]
        blocks = list(transformer.latent_blocks)
        called = [block for block in blocks if not is_as_made(block, LatentBlock)]
        return [self.feed_forward, *(called or (part for block in blocks for part in block))]


class SingleBlockLayer(nn.ModuleList):
    """`Perceiver`'s layer: the parts of its latent block (or blocks, one after the other) stand in the list itself."""

    def __init__(self, cross_attend: nn.Module, feed_forward: nn.Module, *blocks: LatentBlock) -> None:
        super().__init__([cross_attend, feed_forward, *(part for block in blocks for part in block)])

    def forward(
        self, x: Float[Tensor, "batch latents latent_dim"], context: Sequence[AnyContext]
    ) -> Float[Tensor, "batch latents latent_dim"]:
        cross_attend, feed_forward, *blocks = self
        x = cross_attend(x, context=context) + x
        parts = feed_forward, *blocks
        out = latent_parts.through(x, parts)
        if out is not None:
            return out
        for part in parts:
            x = single_thread.run(part, x) + x
        return x


@dataclass(frozen=True, kw_only=True)
class LayerParts:
    """Makes the parts of a layer, each with fresh weights.

    Args:
        sizes: heads, channels per head, and dropout.
        input_dim: channels of the tokens.
        activation: ``"geglu"`` or ``"gelu"``.
        widening_factor: inner width of the feed-forward parts, as a multiple of the outer one.
    """

    sizes: Sizes
    input_dim: int
    activation: str
    widening_factor: int = 4

    def cross_attend(self, latent_dim: int) -> CrossAttend:
        sizes = self.sizes
        return CrossAttend(latent_dim, self.input_dim, sizes.cross_heads, sizes.cross_dim_head, sizes.attn_dropout)

    def feed_forward(self, latent_dim: int) -> PreNorm:
        feed_forward = FEED_FORWARD[self.activation]
        return PreNorm(latent_dim, feed_forward(latent_dim, self.widening_factor, self.sizes.ff_dropout))

    def latent_block(self, latent_dim: int) -> LatentBlock:
        sizes = self.sizes
        attention = Attention(
            latent_dim, heads=sizes.latent_heads, dim_head=sizes.latent_dim_head, dropout=sizes.attn_dropout
        )
        return LatentBlock(PreNorm(latent_dim, attention), self.feed_forward(latent_dim))


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
