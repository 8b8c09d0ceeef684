"""Weight sharing, as plain lists: which layers own the weights that a layer uses.

With tying, both rules give the first cross-attend (and its feed-forward) weights of its own and share one set among all
later layers. They differ in the latent transformers:

- ``"release"`` (1.4.0): in the multi-modality models block 0 of every layer has weights of its own, and block j > 0 is
  one and the same in all layers, the first included. In `Perceiver` (one block a layer) all layers after the first
  share.
- ``"paper"`` (section 4.1 and its parameter count of 44.9 M): every block j is the same in all layers.
"""

from dataclasses import dataclass

RULES = ("release", "paper")


@dataclass(frozen=True)
class LayerSharing:
    """For one layer: the index of the layer whose weights it uses.

    Args:
        cross: owner of the cross-attend and its feed-forward.
        blocks: owner of each latent block.
    """

    cross: int
    blocks: tuple[int, ...]


def share(depth: int, num_blocks: int, *, tie: bool, rule: str, single_block: bool = False) -> list[LayerSharing]:
    """Owners for every layer; ``single_block`` selects `Perceiver`'s variant of the release's rule."""
    layers = []
    for i in range(depth):
        if not tie:
            blocks = (i,) * num_blocks
        elif rule == "paper":
            blocks = (0,) * num_blocks
        elif single_block:
            blocks = (min(i, 1),) * num_blocks
        else:
            blocks = (i,) + (0,) * (num_blocks - 1)
        layers.append(LayerSharing(cross=min(i, 1) if tie else i, blocks=blocks))
    return layers
