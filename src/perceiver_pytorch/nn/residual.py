"""Layer normalisation in front of a part; whoever calls it adds the residual."""

from typing import Any

from torch import Tensor, nn


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
        if self.norm_context is not None:
            if not isinstance(kwargs["context"], Tensor):
                raise TypeError(
                    f"context must be a dense tensor here, got {type(kwargs['context']).__name__}; in a model whose "
                    "forward is ours use CrossAttend, which has the same parameters and reads structured contexts"
                )
            kwargs["context"] = self.norm_context(kwargs["context"])
        return self.fn(self.norm(x), **kwargs)
