"""What `PerceiverAR` keeps from one call to the next."""

import torch
from torch import Tensor

from perceiver_pytorch.nn.causal import KeyValues


class ARCache:
    """What a model keeps of the tokens of one window, so that a further token costs only its own work.

    Args:
        across: keys and values of the cross-attends, of all tokens.
        within: keys and values of the latent layers, of the latents.

    Attributes:
        length: tokens read.
        latents: how many of them, the last ones, are latents.
        mask: ``(batch, length)`` bool, or None where all are tokens.
    """

    def __init__(self, across: list[KeyValues], within: list[KeyValues]) -> None:
        self.across = across
        self.within = within
        self.length = 0
        self.latents = 0
        self.mask: Tensor | None = None

    def extend(self, ids: Tensor, mask: Tensor | None, latents: int) -> Tensor | None:
        """Counts further tokens ``(batch, length)``, the last ``latents`` of them latents; returns the whole mask."""
        if mask is not None or self.mask is not None:
            before = ids.new_ones(ids.shape[0], self.length, dtype=torch.bool) if self.mask is None else self.mask
            self.mask = torch.cat((before, torch.ones_like(ids, dtype=torch.bool) if mask is None else mask), dim=1)
        self.length += ids.shape[1]
        self.latents += latents
        return self.mask
