"""Heads of modalities: small modules that answer from the tokens of one modality, or of a few, without the latents.

A head has ``forward(tokens, masks) -> (batch, size)``: sequences with a tensor per modality that it reads, tokens
``(batch, *axes, channels)`` and bool masks ``(batch, *axes)`` or None. What masked tokens hold does not matter, and a
row without any token gets some finite answer. ``to_config()`` gives its arguments as JSON values, its ``name`` among
them; `head_from_config` makes it again.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from perceiver_pytorch import _checks
from perceiver_pytorch.nn.heads.pooled import PooledHead

HEADS: dict[str, type[nn.Module]] = {"pooled": PooledHead}
"""Each by the name that saved models have for it."""


def head_from_config(config: Mapping[str, Any]) -> nn.Module:
    """The head of these arguments, with fresh weights.

    Raises:
        ValueError, TypeError: for an unknown ``name``, or arguments that the head does not take.
    """
    arguments = dict(config)
    name = _checks.choice("name of a head", arguments.pop("name", None), tuple(HEADS))
    return HEADS[name](**arguments)
