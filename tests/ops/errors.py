"""How far a cross-attend's outputs and gradients are from float64, beside plain PyTorch's in the same dtype.

Style, rule 15: the tolerance is plain PyTorch's own error against float64, times two.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ops.problems import Problem, Spec, dense_attention
from perceiver_pytorch.ops import cross_attend

EPSILON = torch.finfo(torch.float32).eps
SEEDS = 4


def gradients(output: Tensor, of: dict[str, Tensor]) -> dict[str, Tensor]:
    weights = torch.cos(torch.arange(output.numel(), dtype=output.dtype, device=output.device)).view_as(output)
    found = torch.autograd.grad((output * weights).sum(), list(of.values()), allow_unused=True)
    return {name: torch.zeros_like(t) if g is None else g for (name, t), g in zip(of.items(), found, strict=True)}


@dataclass
class Errors:
    """Sums of squares, over several draws of a problem, of each result and of its errors against float64."""

    size: Counter[str] = field(default_factory=Counter)
    ours: Counter[str] = field(default_factory=Counter)
    plain: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, specs: Sequence[Spec], options: Mapping[str, Any], device: torch.device | str = "cpu") -> "Errors":
        """Of a problem of the catalogue, in float32 on a device."""
        errors = cls()
        for seed in range(SEEDS):
            errors.add(Problem.of(*specs, **options, seed=seed).to(torch.float32).on(device))
        return errors

    def add(self, single: Problem) -> None:
        double = single.to(torch.float64)
        singles, doubles = single.requires_grad(), double.requires_grad()

        def results(attention: Callable[..., Tensor], p: Problem, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
            output = attention(**p.arguments())
            return {"output": output.detach()} | gradients(output, inputs)

        exact = results(dense_attention, double, doubles)
        ours, plain = results(cross_attend, single, singles), results(dense_attention, single, singles)
        for key, value in exact.items():
            self.size[key] += value.square().sum().item()
            self.ours[key] += (ours[key].double() - value).square().sum().item()
            self.plain[key] += (plain[key].double() - value).square().sum().item()

    @property
    def largest(self) -> float:
        return max(self.size.values()) ** 0.5

    def allowed(self, score_scale: float = 1.0) -> dict[str, tuple[float, float]]:
        """The error of each result, and what it may be.

        A few roundings of the largest gradient are allowed besides, where plain PyTorch happens to be exact (one token:
        a query's gradient is zero). They are multiplied by the scores, as the rounding of a score is.
        """
        found = {}
        for key, error in self.ours.items():
            output = 2 * EPSILON * self.size[key] ** 0.5
            rounding = output if key == "output" else 4 * EPSILON * self.largest * score_scale
            found[key] = error**0.5, 2 * self.plain[key] ** 0.5 + rounding
        return found
