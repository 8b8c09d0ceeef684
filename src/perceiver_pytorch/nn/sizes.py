"""Heads, widths, dropout and latents of a model: one declaration for the models, their layers and the table tool."""

import dataclasses
from dataclasses import MISSING, dataclass

from perceiver_pytorch import _checks
from perceiver_pytorch._settings import Settings, knob


@dataclass(frozen=True, kw_only=True)
class Sizes(Settings):
    """Sizes of a model of release 1.4.0's family, with its defaults.

    Raises:
        ValueError, TypeError: a size that is no positive integer, a dropout outside [0, 1].
    """

    depth: int = knob(MISSING, "layers; each reads the whole input once", least=1)
    num_latents: int = knob(512, "latents", least=1)
    latent_dim: int = knob(512, "width of a latent", least=1)
    cross_heads: int = knob(1, "heads of a cross-attend", least=1)
    cross_dim_head: int = knob(64, "channels of a cross-attend head", least=1)
    latent_heads: int = knob(8, "heads of the self-attention", least=1)
    latent_dim_head: int = knob(64, "channels of a self-attention head", least=1)
    num_latent_blocks_per_layer: int = knob(1, "self-attention blocks per layer", least=1)
    weight_tie_layers: bool = knob(False, "share weights between layers")
    widening_factor: int | None = knob(
        None, "inner width of feed-forward parts, as a multiple of the outer one; null: that of the style", least=1
    )
    attn_dropout: float = knob(0.0, "dropout after attention", least=0, most=1)
    ff_dropout: float = knob(0.0, "dropout in feed-forward parts", least=0, most=1)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if field.name not in _NAMES:
                continue
            if field.type is int:
                _checks.positive_int(field.name, getattr(self, field.name))
            elif field.type is float:
                _checks.probability(field.name, getattr(self, field.name))
        super().__post_init__()
        _checks.num_blocks(self.depth, self.num_latent_blocks_per_layer)


_NAMES = {field.name for field in dataclasses.fields(Sizes)}
