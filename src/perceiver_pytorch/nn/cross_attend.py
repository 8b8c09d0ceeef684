"""Cross-attend: the module by which latents read structured contexts."""

from collections.abc import Sequence

from jaxtyping import Bool, Float
from torch import Tensor, nn

from perceiver_pytorch.nn.attention import Attention
from perceiver_pytorch.nn.tokens import Tokens
from perceiver_pytorch.ops import Context
from perceiver_pytorch.ops.streamed import AnyContext


class CrossAttend(nn.Module):
    """Normalises latents and tokens, and attends from the former to the latter (Perceiver, section 3.1).

    The parameters are those of ``PreNorm(latent_dim, Attention(latent_dim, input_dim, ...), context_dim=input_dim)`` in
    release 1.4.0, by the same names.

    Args:
        latent_dim: channels of the latents.
        input_dim: channels of the tokens (data, padding, positions and modality code together).
        heads, dim_head: number of heads and their channels.
        dropout: probability after the output projection.
    """

    def __init__(self, latent_dim: int, input_dim: int, heads: int = 1, dim_head: int = 64, dropout: float = 0.0):
        super().__init__()
        self.fn = Attention(latent_dim, input_dim, heads=heads, dim_head=dim_head, dropout=dropout)
        self.norm = nn.LayerNorm(latent_dim)
        self.norm_context = nn.LayerNorm(input_dim)

    def forward(
        self,
        x: Float[Tensor, "batch latents latent_dim"],
        context: Sequence[AnyContext] | Float[Tensor, "batch tokens input_dim"],
        mask: Bool[Tensor, "batch *axes"] | None = None,
    ) -> Float[Tensor, "batch latents latent_dim"]:
        """Reads the contexts (or one dense array, with its mask) into ``x``; the caller adds the residual."""
        if isinstance(context, Tensor):
            context = [Context(context, mask=None if mask is None else mask.flatten(1))]
        elif mask is not None:
            raise ValueError("mask goes with a dense context; a structured context carries its own")
        return self.fn(self.norm(x), context=Tokens(context, self.norm_context))
