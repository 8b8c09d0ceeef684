"""Where a trained model runs."""

from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def on_accelerator(model: M) -> M:
    """The model, moved to the accelerator if there is one."""
    return model.to("cuda") if torch.cuda.is_available() else model
