"""The model under training: losses and scores of its targets, optimiser."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from perceiver_pytorch.data import Batch, InputSpec
from perceiver_pytorch.data.choice import PLAIN
from perceiver_pytorch.data.targets.scores import score, score_name
from perceiver_pytorch.models.blended import BlendedPerceiver, Parts
from perceiver_pytorch.training.bfloat16 import gains_by_bfloat16
from perceiver_pytorch.training.gathering import Rows, drawing_for_the_batch, rows_of_a_step
from perceiver_pytorch.training.rows import by_rows
from perceiver_pytorch.training.run.loop import Resumable
from perceiver_pytorch.training.run.optimizers import build_optimizer
from perceiver_pytorch.training.run.sharding import with_weights
from perceiver_pytorch.training.start.freezing import merge_lora
from perceiver_pytorch.training.table.augment import augmented, mixed, mixes
from perceiver_pytorch.training.table.build import num_tokens, run_model, tokens_of
from perceiver_pytorch.training.table.losses import losses_of_heads, target_loss, weighted_mean
from perceiver_pytorch.training.table.part_of_batch import of_whole_batch
from perceiver_pytorch.training.table.settings import AugmentConfig, TrainingConfig
from perceiver_pytorch.training.table.token_dropout import thinned, thinned_tokens


class TableModule(Resumable):
    """Training of a model on the batches of a table.

    Args:
        model: of `build_model`.
        spec: what it reads and predicts.
        config: optimisation.
        augment: how train rows are changed.
        lr: peak learning rate.
    """

    def __init__(
        self, model: nn.Module, spec: InputSpec, config: TrainingConfig, augment: AugmentConfig, lr: float
    ) -> None:
        super().__init__(config.seed)
        self.lr = lr
        self.model = model
        self.spec = spec
        self.targets = spec.targets
        self.augment = augment
        self.config = config
        self.choice = config.choice
        self.ties_by_loss = config.choice.by != PLAIN
        self.gains_by_bfloat16 = gains_by_bfloat16(model)
        for i, target in enumerate(self.targets):  # buffers, so that they move with the model
            weights = target.balanced_weights() if self.choice.balanced else None
            self.register_buffer(f"weights_{i}", weights, persistent=False)
        self._seen: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []

    @property
    def monitor(self) -> str:
        """Name of the logged value that chooses the best epoch; larger is better."""
        return f"val_{score_name(self.targets, self.choice)}"

    def final_model(self) -> nn.Module:
        """The model with its adapters, if it has any, added to its weights."""
        merge_lora(self.model)
        return self.model

    def rehearse(self, batch: Batch) -> dict[str, Tensor]:
        names = [target.name for target in self.targets]

        def compute(rows: slice) -> tuple[Tensor, ...]:
            found = self(batch.of_rows(rows))
            return tuple(found[name] for name in names)

        return dict(zip(names, by_rows(compute, len(batch.rows), num_tokens(batch), self.model), strict=True))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return with_weights(self.model, lambda: run_model(self.model, batch, self.targets))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        with rows_of_a_step(int((batch.rows >= 0).sum()), self.device) as rows:
            loss, heads = self._step(batch, rows)
        self.learned(loss, rows.total)
        return loss + heads

    def _step(self, batch: Batch, rows: Rows) -> tuple[Tensor, Tensor]:
        """The losses of the rows of all ranks, of which this one has a batch."""
        batch, known = of_whole_batch(batch, self.spec, needed=mixes(self.augment))
        with drawing_for_the_batch():
            seen = augmented(batch, self.spec.modalities, self.augment, known)
        seen, mixture = mixed(seen, self.augment, rows)
        true = {name: rows.gathered(values) for name, values in batch.targets.items()}
        targets = [(1.0, true)]
        if mixture is not None:
            others = {name: values[mixture.partner] for name, values in true.items()}
            targets = [(mixture.share, true), (1 - mixture.share, others)]
        return self._losses(self._answers(seen, rows), targets)

    def _losses(self, parts: Parts, targets: Sequence[tuple[float, dict[str, Tensor]]]) -> tuple[Tensor, Tensor]:
        """The loss of the model, of which a part is hidden, and that of its heads by their weights: the mean of those
        that read a modality each, and the joint head's. Heads always see their modality.

        Args:
            parts: what trunk and heads answer.
            targets: what is true of these rows, and how much of it.
        """

        def loss_of(outputs: dict[str, Tensor], rows: Tensor | slice = slice(None)) -> Tensor:
            losses = [
                share * self._loss(outputs, {name: each[rows] for name, each in true.items()}, smoothing)
                for share, true in targets
            ]
            return torch.stack(losses).sum()

        smoothing = self.config.label_smoothing
        trunk, *_ = parts.answers
        heads = trunk.new_zeros(())
        if isinstance(self.model, BlendedPerceiver):
            losses = losses_of_heads(parts, lambda out, rows: loss_of(self._named(out), rows))
            joint = self.model.joint
            if joint is not None and joint in losses:
                heads = heads + self.config.joint_weight * losses.pop(joint)
            if losses:
                heads = heads + self.config.head_weight * torch.stack([*losses.values()]).mean()
        return loss_of(self._named(trunk)), heads

    def _answers(self, seen: Batch, rows: Rows) -> Parts:
        """What trunk and heads answer in training, of which a part is hidden from the trunk, for the rows of all
        ranks."""
        model = self.model

        def compute(rows: slice) -> tuple[Tensor, Tensor]:
            part = seen.of_rows(rows)
            if not isinstance(model, BlendedPerceiver):
                found = self(thinned(part, self.config))
                outputs = torch.cat([found[target.name] for target in self.targets], dim=-1)
                return outputs[:, None], outputs.new_ones(len(outputs), 1, dtype=torch.bool)
            tokens = tokens_of(model, part)
            parts = model.parts(tokens, thinned_tokens(tokens, self.config))
            return parts.answers.movedim(1, 0), parts.there.movedim(1, 0)

        found = by_rows(compute, len(seen.rows), num_tokens(seen), model)
        answers, there = (rows.gathered(each) for each in found)
        return Parts(answers.movedim(0, 1), there.movedim(0, 1))

    def _named(self, outputs: Tensor) -> dict[str, Tensor]:
        """The outputs ``(rows, size)`` of all targets, one after another, by target."""
        sizes = [target.size for target in self.targets]
        return dict(zip((target.name for target in self.targets), outputs.split(sizes, dim=-1), strict=True))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        counted = batch.rows >= 0
        outputs = {name: values.float().cpu()[counted] for name, values in self.rehearse(batch).items()}
        self._seen.append((outputs, {name: values.cpu()[counted] for name, values in batch.targets.items()}))

    def on_validation_epoch_end(self) -> None:
        """Over all rows at once: most metrics are no means over batches."""
        rows = Rows.of(sum(len(next(iter(seen.values()))) for seen, _ in self._seen))
        outputs = {t.name: rows.gathered(torch.cat([seen[t.name] for seen, _ in self._seen])) for t in self.targets}
        encoded = {t.name: rows.gathered(torch.cat([seen[t.name] for _, seen in self._seen])) for t in self.targets}
        self._seen.clear()
        metrics = {
            target.name: target.measured(outputs[target.name], encoded[target.name])
            for target in self.targets
            if target.known(encoded[target.name]).any()
        }
        device = self.device
        outputs = {name: values.to(device) for name, values in outputs.items()}
        encoded = {name: values.to(device) for name, values in encoded.items()}
        self.log("val_loss", self._loss(outputs, encoded, 0.0), prog_bar=True)
        self.log(self.monitor, score(self.targets, metrics, self.choice), prog_bar=True)
        if len(self.targets) > 1:
            for target in self.targets:
                if target.name in metrics:
                    name = self.choice.of(target)
                    self.log(f"val_{name}/{target.name}", target.score(metrics[target.name], name))

    def _loss(self, outputs: dict[str, Tensor], encoded: dict[str, Tensor], label_smoothing: float) -> Tensor:
        losses = {
            target.name: target_loss(
                target,
                outputs[target.name],
                encoded[target.name],
                weights=getattr(self, f"weights_{i}"),
                label_smoothing=label_smoothing,
            )
            for i, target in enumerate(self.targets)
        }
        return weighted_mean(losses, self.targets, self.config.task_weights)

    def configure_optimizers(self) -> Any:
        return self.scheduled(build_optimizer(self.model, self.config, self.lr, self.config.word_decay))

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch.to(device)
