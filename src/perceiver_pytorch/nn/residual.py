"""Layer normalisation in front of a part; whoever calls it adds the residual."""

from typing import Any

from torch import Tensor, nn

from perceiver_pytorch.nn.attention import Attention
from perceiver_pytorch.nn.tokens import Tokens


class PreNorm(nn.Module):
    """``fn(LayerNorm(x), ...)``; a dense ``context`` keyword is normalised too where ``context_dim`` is given.

    Args:
        dim: channels of ``x``.
        fn: module called with the normalised ``x``.
        context_dim: channels of ``context``, or None.
    """

    def __init__(self, dim: int, fn: nn.Module, context_dim: int | None = None) -> None:
        super().__init__()
        self.fn = fn
        self.norm = nn.LayerNorm(dim)
        self.norm_context = None if context_dim is None else nn.LayerNorm(context_dim)

    def forward(self, x: Tensor, **kwargs: Any) -> Tensor:
        """``fn`` of normalised inputs; around an `Attention`, ``context`` may be structured, as our models pass it."""
        if self.norm_context is None:
            return self.fn(self.norm(x), **kwargs)
        context = kwargs.pop("context")
        if isinstance(context, Tensor):
            return self.fn(self.norm(x), context=self.norm_context(context), **kwargs)
        if not any(isinstance(module, Attention) for module in self.fn.modules()):  # it may be wrapped
            raise TypeError(
                f"context must be a dense tensor around a {type(self.fn).__name__}, got {type(context).__name__}; "
                "an Attention of ours reads structured contexts"
            )
        return self.fn(self.norm(x), context=Tokens(context, self.norm_context), **kwargs)
