"""Cached generation with `PerceiverAR`, in windows.

A window is a context of at most ``max_length`` tokens whose last positions, at most ``num_latents``, are latents. It
opens with ``window_latents`` of them, which leaves room for ``num_latents - window_latents`` further tokens. These are
read one at a time, each as one more latent, with the keys and values of all before it kept. When the latents are used
up, a new window opens: the last ``max_length - (num_latents - window_latents)`` tokens are read anew, with
``window_latents`` latents. The default is half of ``num_latents``, as in the sampling code published with the paper:
merely dropping the oldest would make latents depend on more than they ever did in training.

So a text may go on for ever, and the logits of a token are those of one plain call of the model with the
window's tokens up to it. Where there are fewer tokens than ``window_latents``, the latents before the first token are
empty: windows open at the same tokens whatever the length of a prompt, and a prompt's continuation does not depend on
the other prompts of its batch.
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from perceiver_pytorch import _checks
from perceiver_pytorch.models.text.ar_cache import ARCache


class CausalModel(Protocol):
    """What generation needs of a `PerceiverAR`."""

    max_length: int
    num_latents: int

    def new_cache(self) -> ARCache: ...

    def __call__(
        self,
        tokens: Tensor,
        mask: Tensor | None = None,
        *,
        num_latents: int | None = None,
        cache: ARCache | None = None,
    ) -> Any: ...


class Windows:
    """Gives the logits of the next token, window after window.

    Args:
        model: the model, in evaluation mode.
        ids: the prompts ``(batch, length)``.
        mask: ``(batch, length)`` bool, False at padding on the left; None: no padding.
        window_latents: latents that a window opens with; None: half of the model's.
        use_cache: keep keys and values within a window.
    """

    def __init__(
        self, model: CausalModel, ids: Tensor, mask: Tensor | None, window_latents: int | None, use_cache: bool
    ) -> None:
        if window_latents is None:
            window_latents = max(1, model.num_latents // 2)
        self.first = _checks.positive_int("window_latents", window_latents)
        if self.first > model.num_latents:
            raise ValueError(f"window_latents must be at most num_latents, {model.num_latents}, got {self.first}")
        self.model = model
        self.ids = ids
        self.mask = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask
        self.context = model.max_length - (model.num_latents - self.first)
        self.latents = model.num_latents  # of a window that is used up
        self.use_cache = use_cache
        self.cache: ARCache | None = None

    def next_logits(self) -> Tensor:
        """Logits ``(batch, vocab)`` of the token that follows all tokens so far."""
        if self.latents == self.model.num_latents:
            self._open()
        else:
            self.latents += 1
            if self.cache is not None:
                return self.model(self.ids[:, -1:], cache=self.cache)[:, -1]
        # Without padding there is no mask, which is faster.
        mask = None if self.mask.all() else self.mask
        return self.model(self.ids, mask, num_latents=self.latents, cache=self.cache)[:, -1]

    def append(self, tokens: Tensor) -> None:
        """Adds one token ``(batch,)`` per sample."""
        self.ids = torch.cat((self.ids, tokens.unsqueeze(1)), dim=1)
        self.mask = F.pad(self.mask, (0, 1), value=True)

    def _open(self) -> None:
        """Starts a window: forgets what lies too far back, and makes room for the first latents."""
        missing = max(0, self.first - self.ids.shape[1])
        self.ids = F.pad(self.ids[:, -self.context :], (missing, 0))
        self.mask = F.pad(self.mask[:, -self.context :], (missing, 0), value=False)
        self.latents = self.first
        self.cache = self.model.new_cache() if self.use_cache else None


def continue_prompts(
    windows: Windows,
    max_new_tokens: int,
    choose: Callable[[Tensor], Tensor],
    *,
    stop_token: int | None,
    pad_token: int,
) -> Tensor:
    """The tokens that follow, ``(batch, up to max_new_tokens)``.

    Args:
        windows: of the prompts.
        max_new_tokens: at most.
        choose: gives tokens ``(batch,)`` for logits ``(batch, vocab)``.
        stop_token: ends a sample; ``pad_token`` follows.
        pad_token: an id of the vocabulary.
    """
    ended = torch.zeros(windows.ids.shape[0], dtype=torch.bool, device=windows.ids.device)
    chosen: list[Tensor] = []
    while True:
        token = choose(windows.next_logits()).masked_fill(ended, pad_token)
        chosen.append(token)
        if stop_token is not None:
            ended |= token == stop_token
        if len(chosen) == max_new_tokens or (stop_token is not None and ended.all()):
            return torch.stack(chosen, dim=1)
        windows.append(token)
