"""Attention that is not rolled out: of one cross-attend, head or latent, each told apart."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from perceiver_pytorch.explain.attention import Record

MOST = 64
"""Maps of a row that are told apart."""

Numbers = Sequence[int] | str | None
"""Numbers from 0; ``"all"``; or None."""


@dataclass(frozen=True)
class Apart:
    """What of a model's cross-attends is told apart.

    Attributes:
        layers: which cross-attends; None: all.
        heads: which of their heads; None: the mean of all.
        latents: which latents; None: the mean of all.
    """

    layers: Numbers = None
    heads: Numbers = None
    latents: Numbers = None

    def __bool__(self) -> bool:
        """Whether anything was asked for."""
        return any(asked is not None for asked in (self.layers, self.heads, self.latents))

    @torch.no_grad()
    def shares(self, record: Record) -> "Iterator[tuple[str, list[Tensor]]]":
        """Names, such as ``attention.layer-0.head-1``, and per context how much is looked at, ``(batch, *axes)``; none
        where nothing was asked for.

        Raises:
            ValueError: for a layer, head or latent that there is not, or more than `MOST` maps.
        """
        if not self:
            return
        reads = record.reads
        layers = _chosen("layers", self.layers if self.layers is not None else "all", len(reads))
        chosen = {layer: self._factors(reads[layer].query) for layer in layers}
        count = sum(len(names) for names, _ in chosen.values())
        if count > MOST:
            raise ValueError(f"layers, heads and latents make {count} maps of a row, more than {MOST}: name fewer")
        for layer, (names, factors) in chosen.items():
            found = reads[layer].summed(factors.unsqueeze(0).expand(len(reads[layer].query), -1, -1, -1))
            for place, name in enumerate(names):
                yield f"attention.layer-{layer}{name}", [part[:, place] for part in found]

    def _factors(self, query: Tensor) -> tuple[list[str], Tensor]:
        """What is told apart, in words, and how it is summed up: ``(maps, heads, latents)``."""
        heads, latents = query.shape[1:3]
        of_heads = _parts("head", self.heads, heads)
        of_latents = _parts("latent", self.latents, latents)
        names = [f"{head}{latent}" for head, _ in of_heads for latent, _ in of_latents]
        factors = [torch.outer(head, latent) for _, head in of_heads for _, latent in of_latents]
        return names, torch.stack(factors).to(query)


NOTHING_APART = Apart()


def _parts(name: str, asked: Numbers, count: int) -> list[tuple[str, Tensor]]:
    """Each part's name and its shares of what there is, or all with their mean."""
    if asked is None:
        return [("", torch.full((count,), 1 / count))]
    return [(f".{name}-{number}", torch.eye(count)[number]) for number in _chosen(f"{name}s", asked, count)]


def _chosen(name: str, asked: Sequence[int] | str, count: int) -> list[int]:
    if isinstance(asked, str):
        if asked != "all":
            raise ValueError(f"{name} must be numbers from 0, or 'all', got {asked!r}")
        return list(range(count))
    found = list(dict.fromkeys(int(number) for number in asked))
    if not found or not all(0 <= number < count for number in found):
        raise ValueError(f"{name} must be some of 0 to {count - 1}, got {', '.join(map(str, found)) or 'none'}")
    return found
