"""The model under training: loss, accuracy, optimiser."""

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from perceiver_pytorch.data import Batch
from perceiver_pytorch.multi_modality_with_text_perceiver import MultiModalityWithTextPerceiver
from perceiver_pytorch.training.build import model_inputs
from perceiver_pytorch.training.config import TrainingConfig
from perceiver_pytorch.training.optimizers import build_optimizer, build_schedule
from perceiver_pytorch.training.sampler import EpochBatches
from perceiver_pytorch.training.thinning import thinned


class Classifier(pl.LightningModule):
    """Cross-entropy training of a model on the batches of a table.

    Args:
        model: gives ``(batch, num_classes)`` logits.
        config: optimisation.
    """

    def __init__(self, model: MultiModalityWithTextPerceiver, config: TrainingConfig) -> None:
        super().__init__()
        assert model.num_classes is not None
        self.model = model
        self.config = config
        self.train_loss = MeanMetric()
        self.train_loss.persistent(True)  # a run that is stopped within an epoch goes on with that epoch's mean
        self.val_accuracy = MulticlassAccuracy(model.num_classes, average="micro")

    def forward(self, batch: Batch) -> Tensor:
        return self.model(model_inputs(batch.inputs), model_inputs(batch.masks))

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        # Dropout of a step depends on the step alone, so that a resumed run repeats it.
        torch.manual_seed(self.config.seed * 1_000_003 + self.global_step)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = F.cross_entropy(
            self(thinned(batch, self.config)), batch.targets, label_smoothing=self.config.label_smoothing
        )
        self.log("train_loss", loss, prog_bar=True, on_step=True, on_epoch=False)
        self.train_loss.update(loss.detach(), len(batch.targets))
        self.log("train_loss_epoch", self.train_loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        logits = self(batch)
        self.val_accuracy(logits, batch.targets)
        self.log("val_loss", F.cross_entropy(logits, batch.targets), prog_bar=True, batch_size=len(batch.targets))
        self.log("val_accuracy", self.val_accuracy, prog_bar=True, batch_size=len(batch.targets))

    def configure_optimizers(self) -> Any:
        optimizer = build_optimizer(self.model, self.config)
        schedule = build_schedule(optimizer, self.config, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch.to(device)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["batch_in_epoch"] = self._batches_done() % max(1, int(self.trainer.num_training_batches))

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Lets the sampler go on where the saved epoch stopped."""
        loader = self.trainer.train_dataloader or self.trainer.fit_loop._data_source.instance
        sampler = getattr(loader, "batch_sampler", None)
        if isinstance(sampler, EpochBatches):
            sampler.skip = int(checkpoint["batch_in_epoch"])

    def _batches_done(self) -> int:
        return int(self.trainer.fit_loop.epoch_loop.batch_progress.current.completed)
