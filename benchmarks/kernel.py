"""The cross-attend of this repository alone: one context, random rows."""

from typing import Any

import torch
from torch import Tensor

from benchmarks.cases import Case
from benchmarks.contestants.dense import token_channels
from benchmarks.timing import repeated

WARM_UPS = 2


def measure(case: Case, repeats: int, budget: float) -> dict[str, Any]:
    """Times of ``attend`` on the case's largest modality, and of the same with its gradient for the rows.

    Returns:
        pairs: (latent, token) pairs of the whole batch; forward, both: seconds of each call.
    """
    from perceiver_pytorch._waiting import waiting
    from perceiver_pytorch.ops import attend

    context, rows = problem(case)

    def forward() -> None:
        with torch.no_grad():
            attend(rows, context)

    def both() -> None:
        mixed, lse = attend(rows.requires_grad_(), context)
        torch.autograd.backward((mixed, lse), gradients)

    gradients = (torch.randn_like(rows), torch.randn(rows.shape[:-1]))
    with waiting():
        for _ in range(WARM_UPS):
            forward()
            both()
    times: dict[str, list[float]] = {"forward": [], "both": []}
    for _ in range(repeats):  # in turns: what slows the machine down slows both
        times["forward"] += repeated(forward, 1, budget)
        times["both"] += repeated(both, 1, budget)
        if sum(map(sum, times.values())) > budget:
            break
    return {"pairs": rows.shape[0] * rows.shape[1] * context.num_tokens, **times}


def problem(case: Case) -> tuple[Any, Tensor]:
    """The largest modality's context and rows ``(batch, latents, channels)``."""
    from perceiver_pytorch import InputModality
    from perceiver_pytorch.models.modalities import make_context

    largest = max(case.modalities, key=lambda modality: modality.num_tokens)
    arguments = (largest.name, largest.channels, len(largest.axes), largest.num_freq_bands, largest.max_freq)
    code = None
    if case.model != "Perceiver":
        code = torch.zeros(len(case.modalities))
        code[sorted(m.name for m in case.modalities).index(largest.name)] = 1.0
    context = make_context(
        InputModality(*arguments),
        case.inputs()[largest.name],
        width=token_channels(case),
        code=code,
        freq_scale="log",
    )
    # Scores of a deviation of about 1, as after initialisation.
    rows = torch.randn(case.batch, case.arguments["num_latents"], context.num_channels) * context.num_channels**-0.5
    return context, rows
