"""Heads of modalities: small modules that answer from the tokens of one modality, or of a few, without the latents."""

from collections.abc import Mapping
from typing import Any

from perceiver_pytorch import _checks
from perceiver_pytorch.nn.heads.base import Head
from perceiver_pytorch.nn.heads.columns import ColumnsHead
from perceiver_pytorch.nn.heads.pooled import PooledHead

HEADS: dict[str, type[Head]] = {head.name: head for head in (ColumnsHead, PooledHead)}
"""Each by the name that saved models have for it."""


def head_from_config(config: Mapping[str, Any]) -> Head:
    """A head with fresh weights.

    Args:
        config: ``name``, and the arguments of its class.

    Raises:
        ValueError, TypeError: for an unknown ``name``, or arguments that the head does not take.
    """
    arguments = dict(config)
    name = _checks.choice("name of a head", arguments.pop("name", None), tuple(HEADS))
    return HEADS[name](**arguments)


def head_config(head: Head) -> dict[str, Any]:
    """What `head_from_config` makes such a head of."""
    return {"name": head.name, **head.to_config()}
