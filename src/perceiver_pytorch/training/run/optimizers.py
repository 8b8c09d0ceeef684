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

    def factor(step: int) -> float:
        found = plan()
        share = fallen(config, num_steps, found, step)
        return _rise(config, num_steps, found, step) if share is None else _cosine(config, share)

    return LambdaLR(optimizer, factor)


def fallen(config: TrainingSettings, num_steps: int, plan: Plan | None, step: int) -> float | None:
    """Which share of the fall of the learning rate lies behind a step, 0 to 1; None while it rises."""
    rising = _rising(config, num_steps)
    if plan is None or (plan.fallen is None and (plan.steps == plan.whole or step <= plan.begun)):
        return None if step < rising else (step - rising) / max(1, num_steps - rising)
    before, done, left = plan.fallen, max(0, step - plan.begun), plan.steps - plan.begun
    if before is None and plan.begun >= rising:
        before = (plan.begun - rising) / max(1, num_steps - rising)
    if before is not None:
        return before + (1 - before) * done / left
    short = _rising(config, plan.steps)
    return None if done < short else (done - short) / max(1, left - short)


def _rise(config: TrainingSettings, num_steps: int, plan: Plan | None, step: int) -> float:
    """The rate of a step of the warm-up, of the peak rate."""
    rising = _rising(config, num_steps)
    if plan is None or plan.steps == plan.whole or step <= plan.begun:
        return (step + 1) / rising
    begun = (plan.begun + 1) / rising
    return begun + (1 - begun) * (step - plan.begun) / _rising(config, plan.steps)


def _rising(config: TrainingSettings, steps: int) -> int:
    """Steps of the warm-up."""
    return max(1, round(config.warmup * steps))


def _cosine(config: TrainingSettings, progress: float) -> float:
    return config.min_lr + (1 - config.min_lr) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
