"""The model under training: loss, accuracy, optimiser."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from perceiver_pytorch.data import Batch
from perceiver_pytorch.multi_modality_with_text_perceiver import MultiModalityWithTextPerceiver
from perceiver_pytorch.training.build import run_model
from perceiver_pytorch.training.config import TrainingConfig
from perceiver_pytorch.training.loop import Resumable
from perceiver_pytorch.training.optimizers import build_optimizer, build_schedule
from perceiver_pytorch.training.thinning import thinned


class Classifier(Resumable):
    """Cross-entropy training of a model on the batches of a table.

    Args:
        model: gives ``(batch, num_classes)`` logits.
        config: optimisation.
    """

    def __init__(self, model: MultiModalityWithTextPerceiver, config: TrainingConfig) -> None:
        super().__init__(config.seed)
        assert model.num_classes is not None
        self.model = model
        self.config = config
        self.train_loss = MeanMetric()
        self.train_loss.persistent(True)  # a run that is stopped within an epoch goes on with that epoch's mean
        self.val_accuracy = MulticlassAccuracy(model.num_classes, average="micro")

    def forward(self, batch: Batch) -> Tensor:
        return run_model(self.model, batch)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = F.cross_entropy(
            self(thinned(batch, self.config)), _classes(batch), label_smoothing=self.config.label_smoothing
        )
        self.log("train_loss", loss, prog_bar=True, on_step=True, on_epoch=False)
        self.train_loss.update(loss.detach(), len(batch.rows))
        self.log("train_loss_epoch", self.train_loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        logits = self(batch)
        targets = _classes(batch)
        self.val_accuracy(logits, targets)
        self.log("val_loss", F.cross_entropy(logits, targets), prog_bar=True, batch_size=len(targets))
        self.log("val_accuracy", self.val_accuracy, prog_bar=True, batch_size=len(targets))

    def configure_optimizers(self) -> Any:
        optimizer = build_optimizer(self.model, self.config)
        schedule = build_schedule(optimizer, self.config, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch.to(device)


def _classes(batch: Batch) -> Tensor:
    """The batch's one target."""
    (targets,) = batch.targets.values()
    return targets
