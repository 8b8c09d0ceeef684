"""The language model under training: loss, bits per byte, optimiser."""

import math
from typing import Any

from torch import Tensor, nn
from torchmetrics import MeanMetric

from perceiver_pytorch.training.bfloat16 import gains_by_bfloat16
from perceiver_pytorch.training.gathering import rows_of_a_step
from perceiver_pytorch.training.language.objectives import Objective, nats_of
from perceiver_pytorch.training.language.settings import LanguageTraining
from perceiver_pytorch.training.rows import by_rows
from perceiver_pytorch.training.run.loop import Resumable
from perceiver_pytorch.training.run.optimizers import build_optimizer
from perceiver_pytorch.training.run.sharding import with_weights


class LanguageModule(Resumable):
    """Trains a model for an objective on windows of a text.

    Args:
        model: the model.
        objective: what it is trained for.
        config: optimisation.
    """

    monitor = "val_bits_per_byte"
    mode = "min"

    def __init__(self, model: nn.Module, objective: Objective, config: LanguageTraining) -> None:
        super().__init__(config.seed)
        self.model = model
        self.objective = objective
        self.config = config
        self.gains_by_bfloat16 = gains_by_bfloat16(model)
        self.val_loss = MeanMetric()
        self.val_bits = MeanMetric()

    def forward(self, batch: Tensor) -> Tensor:
        """The loss of windows ``(batch, length)`` of a text."""
        return with_weights(self.model, lambda: self.objective.loss(self.model, batch))

    def rehearse(self, batch: tuple[Tensor, Tensor]) -> Any:
        return nats_of(self.model, self.objective, batch)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        def compute(rows: slice) -> tuple[Tensor]:
            windows = batch[rows]
            return (self(windows).expand(len(windows)),)

        with rows_of_a_step(len(batch), self.device) as rows:
            (losses,) = by_rows(compute, len(batch), batch.numel(), self.model)
            loss = rows.gathered(losses).mean()
        self.learned(loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        nats, count = nats_of(self.model, self.objective, batch)
        if count:
            self.val_loss.update(nats / count, count)
            self.val_bits.update(nats / count / math.log(2), count)
        self.log("val_loss", self.val_loss, prog_bar=True)
        self.log("val_bits_per_byte", self.val_bits, prog_bar=True)

    def configure_optimizers(self) -> Any:
        return self.scheduled(build_optimizer(self.model, self.config, self.config.lr))
