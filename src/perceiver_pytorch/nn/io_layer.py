"""One layer of a Perceiver IO encoder, of `AttentionBlock`s."""

from collections.abc import Callable, Sequence

from jaxtyping import Float
from torch import Tensor, nn

from perceiver_pytorch.nn.block import AttentionBlock
from perceiver_pytorch.nn.encoder import encode, io_steps
from perceiver_pytorch.nn.sharing import share
from perceiver_pytorch.ops.streamed import AnyContext


class IOLayer(nn.Module):
    """A cross-attend and a stack of latent blocks, which may be run through several times (one set of weights).

    Args:
        cross_attend: block with a context.
        latent_blocks: blocks without.
        num_repeats: how often the stack is run through.
    """

    def __init__(
        self, cross_attend: AttentionBlock, latent_blocks: Sequence[AttentionBlock], num_repeats: int = 1
    ) -> None:
        super().__init__()
        self.cross_attend = cross_attend
        self.latent_blocks = nn.ModuleList(latent_blocks)
        self.num_repeats = num_repeats

    def forward(
        self,
        x: Float[Tensor, "batch latents latent_dim"],
        context: Sequence[AnyContext],
        *,
        recompute: bool = False,
        hidden_states: list[Tensor] | None = None,
    ) -> Float[Tensor, "batch latents latent_dim"]:
        """Latents after the layer.

        Args:
            x: the latents before it.
            context: what it reads.
            recompute: keep nothing inside a block for the backward pass, which then runs the block once more.
            hidden_states: a list to which the latents after the cross-attend and after each latent block are appended.
        """
        steps = io_steps(self.cross_attend, context, self.latent_blocks, repeats=self.num_repeats)
        return encode(x, steps, recompute=recompute, hidden_states=hidden_states)


def build_io_layers(
    cross: Callable[[], AttentionBlock],
    latent: Callable[[], AttentionBlock],
    depth: int,
    num_blocks: int,
    num_repeats: int,
    tie: bool,
) -> nn.ModuleList:
    """Layers whose parts are shared after the paper's rule, where they are tied."""
    crosses: dict[int, AttentionBlock] = {}
    blocks: dict[tuple[int, int], AttentionBlock] = {}
    layers = []
    for i, shared in enumerate(share(depth, num_blocks, tie=tie, rule="paper")):
        if shared.cross == i:
            crosses[i] = cross()
        for j, owner in enumerate(shared.blocks):
            if owner == i:
                blocks[i, j] = latent()
        parts = [blocks[owner, j] for j, owner in enumerate(shared.blocks)]
        layers.append(IOLayer(crosses[shared.cross], parts, num_repeats))
    return nn.ModuleList(layers)
