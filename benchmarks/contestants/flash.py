"""flash-perceiver 0.2.0: FlashAttention on a graphics card; falls away where flash_attn cannot be imported."""

from importlib.util import find_spec

import torch
from torch import nn

from benchmarks.cases import Case
from benchmarks.contestants.dense import DenseInput, token_channels

PEER = "flash-perceiver-0.2.0"
WARM_UPS = 1


def unsupported(case: Case) -> str | None:
    return None


def note(case: Case) -> str:
    how = "with" if has_kernels(case) else "without"
    built = "array built by our code inside the forward"
    return f"{how} FlashAttention, which needs half precision on a graphics card; {built}"


def has_kernels(case: Case) -> bool:
    return case.precision == "bfloat16" and torch.cuda.is_available() and find_spec("flash_attn") is not None


def build(case: Case) -> nn.Module:
    from flash_perceiver import Perceiver

    names = ("depth", "num_latents", "latent_dim", "weight_tie_layers")
    model = Perceiver(
        input_dim=token_channels(case),
        output_dim=case.arguments["num_classes"],
        self_per_cross_attn=case.num_blocks,
        use_flash_attn=has_kernels(case),
        **{name: case.arguments[name] for name in names if name in case.arguments},
    )
    return DenseInput(case, model)
