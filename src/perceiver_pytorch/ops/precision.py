"""Precision of the computation inside an operator."""

import contextlib

import torch


def full_precision(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Switches autocast off on ``device``, where it exists (it does not on "meta")."""
    # Asked in a graph, PyTorch 2.6 breaks off; what compiles has autocast.
    if device.type != "meta" and (torch.compiler.is_compiling() or torch.amp.is_autocast_available(device.type)):
        return torch.autocast(device.type, enabled=False)
    return contextlib.nullcontext()
