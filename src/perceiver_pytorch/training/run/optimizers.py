"""AdamW or LAMB, without decay on vectors; the learning rate rises linearly and falls along a cosine."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from perceiver_pytorch.training.run.planning import Plan
from perceiver_pytorch.training.run.settings import TrainingSettings


class Lamb(Optimizer):
    """LAMB (You et al. 2020, arXiv 1904.00962), the optimiser of the Perceiver paper.

    Adam's step with decoupled decay, scaled per tensor by the norm of the weights over that of the step.

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        betas: decay of the running mean and square of the gradient.
        eps: added to the root of the square.
        weight_decay: decoupled weight decay.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["mean"] = torch.zeros_like(parameter)
            state["square"] = torch.zeros_like(parameter)
        beta1, beta2 = group["betas"]
        state["step"] += 1
        step = state["step"].item()
        state["mean"].lerp_(parameter.grad, 1 - beta1)
        state["square"].mul_(beta2).addcmul_(parameter.grad, parameter.grad, value=1 - beta2)
        mean = state["mean"] / (1 - beta1**step)
        root = (state["square"] / (1 - beta2**step)).sqrt_().add_(group["eps"])
        update = mean.div_(root).add_(parameter, alpha=group["weight_decay"])
        size, length = parameter.norm(), update.norm()
        # A tensor of zeros (a fresh bias) or a step of zeros has no ratio; it takes the plain step.
        trust = torch.where((size > 0) & (length > 0), size / length, torch.ones_like(size))
        parameter.sub_(update * trust, alpha=group["lr"])


def build_optimizer(
    model: nn.Module, config: TrainingSettings, lr: float, word_decay: float | None = None
) -> Optimizer:
    """The optimiser over the model's parameters; matrices decay, vectors (biases, norms) do not.

    Args:
        model: what is trained.
        config: how.
        lr: its peak learning rate.
        word_decay: weight decay of `nn.EmbeddingBag`, of whose rows a step sees few. Adam's step is as long for a word
            that it has not seen for long as for any other; the decay lets words lose what no further text confirms.
            None: as of other matrices.
    """
    bags = [module.weight for module in model.modules() if isinstance(module, nn.EmbeddingBag)]
    words = [] if word_decay is None else [p for p in bags if p.requires_grad]
    others = [p for p in model.parameters() if p.requires_grad and not any(p is each for each in words)]
    groups = [
        {"params": [p for p in others if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in others if p.dim() <= 1], "weight_decay": 0.0},
    ]
    if words:
        groups.append({"params": words, "weight_decay": word_decay})
    if config.optimizer == "lamb":
        return Lamb(groups, lr=lr)
    fused = not config.precision.startswith("16")  # scaled gradients would be unscaled by it, after they were clipped
    # A short memory of the squares (0.98) follows the fast changes early in training.
    return AdamW(groups, lr=lr, betas=(0.9, 0.98), fused=fused)


def build_schedule(
    optimizer: Optimizer, config: TrainingSettings, num_steps: int, plan: Callable[[], Plan | None] = lambda: None
) -> LambdaLR:
    """Per step: linear warm-up over ``config.warmup`` of the steps, then a cosine down to ``config.min_lr``.

    Args:
        optimizer: whose rate it is.
        config: how it changes.
        num_steps: where it ends.
        plan: gives the plan, once there is one; from then on the rate goes on to its end at the plan's last step.
    """
    rising = _rising(config, num_steps)

    def whole(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return _cosine(config, (step - rising) / max(1, num_steps - rising))

    def factor(step: int) -> float:
        found = plan()
        if found is None or not found.shorter or step <= found.begun:
            return whole(step)
        begun, done = found.begun, step - found.begun
        if begun >= rising:
            share = (begun - rising) / max(1, num_steps - rising)
            return _cosine(config, share + (1 - share) * done / (found.steps - begun))
        short = _rising(config, found.steps)
        if done < short:
            return whole(begun) + (1 - whole(begun)) * done / short
        return _cosine(config, (done - short) / max(1, found.steps - begun - short))

    return LambdaLR(optimizer, factor)


def _rising(config: TrainingSettings, steps: int) -> int:
    """Steps of the warm-up."""
    return max(1, round(config.warmup * steps))


def _cosine(config: TrainingSettings, progress: float) -> float:
    return config.min_lr + (1 - config.min_lr) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
