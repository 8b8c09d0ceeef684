import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from data_helpers import table_of
from perceiver_pytorch.data import InputSpec, TableDataset, collate, recognise_columns
from perceiver_pytorch.models.blended import BlendedPerceiver
from perceiver_pytorch.training import cores, rows
from perceiver_pytorch.training.table.augment import Mixture
from perceiver_pytorch.training.table.build import build_model, tokens_of, with_heads
from perceiver_pytorch.training.table.losses import target_loss, weighted_mean
from perceiver_pytorch.training.table.module import TableModule
from perceiver_pytorch.training.table.settings import AugmentConfig
from training_helpers import tiny_config

ROWS = 24
TARGETS = ["c", "n"]


@pytest.fixture
def spec_and_batch(tmp_path):
    rng = np.random.default_rng(0)
    numbers = [i / 7 if i % 3 else None for i in range(ROWS)]
    table = table_of(tmp_path, x=rng.normal(size=ROWS).tolist(), c=["a", "a", "a", "b"] * (ROWS // 4), n=numbers)
    kinds = recognise_columns(table, target=TARGETS, split=None)
    spec = InputSpec.fit(table, kinds, target=TARGETS, rows=np.arange(ROWS))
    dataset = TableDataset(table, np.arange(ROWS), spec)
    return spec, collate([dataset[i] for i in range(ROWS)], spec)


def module(spec, *, mixup=0.0, **training):
    config = tiny_config("unused", **training)
    return TableModule(build_model(spec, config.model), spec, config.training, AugmentConfig(mixup=mixup), 1e-3)


def test_weights_are_buffers_of_balanced_runs_only(spec_and_batch):
    spec, _ = spec_and_batch
    plain, balanced = module(spec), module(spec, class_weights="balanced")
    assert (plain.weights_0, plain.weights_1, balanced.weights_1) == (None, None, None)
    torch.testing.assert_close(balanced.weights_0, torch.tensor([2 / 3, 2.0]))
    assert not [name for name in balanced.state_dict() if "weights" in name]
    assert (plain.monitor, balanced.monitor) == ("val_score", "val_score")
    one = InputSpec(spec.targets[:1], spec.modalities, spec.kinds)
    assert (module(one).monitor, module(one, class_weights="balanced").monitor) == ("val_accuracy", "val_macro_f1")


def test_the_loss_of_a_mixture_is_that_of_both_rows(spec_and_batch, monkeypatch):
    spec, batch = spec_and_batch
    trained = module(spec, mixup=0.3, label_smoothing=0.0)
    monkeypatch.setattr(trained, "log", lambda *args, **kwargs: None)
    seen = []
    monkeypatch.setattr(trained, "_loss", lambda outputs, targets, smoothing: seen.append(targets) or torch.ones(()))
    assert trained.training_step(batch, 0).item() == pytest.approx(1.0)
    whole, partners = seen
    assert torch.equal(whole["c"], batch.targets["c"])
    assert sorted(partners["c"].tolist()) == sorted(batch.targets["c"].tolist())


def blended(spec, **training):
    trained = module(spec, **training)
    sizes = [target.size for target in spec.targets]
    channels = trained.model.encoder.modalities["in_numbers"].data_channels
    head = {"reads": [["in_numbers", None]], "name": "pooled", "channels": channels, "size": sum(sizes), "dropout": 0.0}
    trained.model = BlendedPerceiver(trunk=trained.model, heads=[head])
    return trained


def test_heads_add_their_loss_and_always_see_their_modality(spec_and_batch, monkeypatch):
    spec, batch = spec_and_batch
    trained = blended(spec, head_weight=0.25, token_dropout=1.0, label_smoothing=0.0).eval()
    logging(trained, monkeypatch)
    loss = trained.training_step(batch, 0)
    tokens = tokens_of(trained.model, batch)
    nothing = {name: dataclasses.replace(each, mask=torch.zeros(ROWS, 1).bool()) for name, each in tokens.items()}
    parts = trained.model.parts(tokens, nothing)
    trunk, head = (trained._loss(trained.model.named(answers), batch.targets, 0.0) for answers in parts.answers)
    torch.testing.assert_close(loss, trunk + 0.25 * head)
    torch.testing.assert_close(trained.train_loss.compute(), trunk)
    loss.backward()
    assert all(parameter.grad is not None for parameter in trained.model.heads.parameters())


def test_the_joint_head_has_a_weight_of_its_own(spec_and_batch, monkeypatch):
    spec, batch = spec_and_batch
    trained = blended(spec, head_weight=0.25, joint_weight=3.0, label_smoothing=0.0).eval()
    logging(trained, monkeypatch)
    trained.model.joint = 0  # as if there were others
    loss = trained.training_step(batch, 0)
    parts = trained.model.parts(tokens_of(trained.model, batch))
    trunk, head = (trained._loss(trained.model.named(answers), batch.targets, 0.0) for answers in parts.answers)
    torch.testing.assert_close(loss, trunk + 3.0 * head)


def test_rows_without_the_modality_are_none_of_its_heads(spec_and_batch, monkeypatch):
    spec, batch = spec_and_batch
    trained = blended(spec, label_smoothing=0.0)
    logging(trained, monkeypatch)
    missing = dataclasses.replace(batch, masks={"numbers": torch.zeros(ROWS, 1, dtype=torch.bool)})
    trained.training_step(missing, 0).backward()
    assert not any(parameter.grad.any() for parameter in trained.model.heads.parameters())
    assert all(parameter.grad is not None for parameter in trained.model.trunk.heads.parameters())


def test_validation_is_measured_over_all_rows_at_once(spec_and_batch, monkeypatch):
    spec, batch = spec_and_batch
    trained, logged = module(spec).eval(), {}
    monkeypatch.setattr(trained, "log", lambda name, value, **_: logged.update({name: float(value)}))
    with torch.no_grad():
        for _ in range(2):
            trained.validation_step(batch, 0)
        trained.on_validation_epoch_end()
    assert set(logged) == {"val_loss", "val_score", "val_accuracy/c", "val_r2/n"}
    outputs = {name: values.detach() for name, values in trained(batch).items()}
    measured = [target.measured(outputs[target.name], batch.targets[target.name]) for target in spec.targets]
    parts = [target.score(metrics, target.score_name()) for target, metrics in zip(spec.targets, measured, strict=True)]
    assert [logged["val_accuracy/c"], logged["val_r2/n"]] == pytest.approx(parts)
    assert not trained._seen


def logging(trained, monkeypatch):
    logged = {}
    monkeypatch.setattr(trained, "log", lambda name, value, **how: logged.update({name: (value, how)}))
    return logged


def test_a_step_logs_its_loss_and_the_mean_over_rows(spec_and_batch, monkeypatch):
    spec, batch = spec_and_batch
    trained, losses = module(spec, label_smoothing=0.25), iter([1.0, 4.0])
    logged, seen = logging(trained, monkeypatch), []
    monkeypatch.setattr(
        trained, "_loss", lambda outputs, encoded, smoothing: seen.append(smoothing) or torch.tensor(next(losses))
    )
    monkeypatch.setattr(type(trained), "global_step", 9)  # of every tenth step
    trained.training_step(batch, 0)
    few = dataclasses.replace(
        batch, rows=batch.rows[:8], inputs={name: values[:8] for name, values in batch.inputs.items()},
        masks={name: values[:8] for name, values in batch.masks.items()},
        coordinates={name: values[:8] for name, values in batch.coordinates.items()},
    )  # fmt: skip
    monkeypatch.setattr(type(trained), "global_step", 10)
    assert trained.training_step(few, 1).item() == 4.0
    assert seen == [0.25, 0.25]
    assert logged["train_loss"] == (1.0, {"prog_bar": True, "on_step": True, "on_epoch": False})
    trained._trainer = SimpleNamespace(state=SimpleNamespace(fn="fit"))
    trained.on_validation_epoch_start()
    assert logged["train_loss_epoch"] == ((24 * 1.0 + 8 * 4.0) / 32, {})
    assert trained.train_loss.compute().item() == (24 * 1.0 + 8 * 4.0) / 32
    assert {"train_loss.mean_value", "train_loss.weight"} <= set(trained.state_dict())


def test_a_mixture_has_its_share_of_both_losses(spec_and_batch, monkeypatch):
    spec, batch = spec_and_batch
    trained, losses = module(spec, mixup=0.3), iter([1.0, 3.0])
    logging(trained, monkeypatch)
    monkeypatch.setattr(trained, "_loss", lambda *_: torch.tensor(next(losses)))
    mixture = Mixture(torch.arange(ROWS).flip(0), 0.75)
    monkeypatch.setattr("perceiver_pytorch.training.table.module.mixed", lambda batch, config, rows: (batch, mixture))
    assert trained.training_step(batch, 0).item() == 0.75 * 1.0 + 0.25 * 3.0


@pytest.mark.parametrize("weights", [{}, {"n": 3.0}])
def test_a_validation_is_without_smoothing_and_of_the_chosen_score(spec_and_batch, monkeypatch, weights):
    spec, batch = spec_and_batch
    trained = module(spec, label_smoothing=0.5, task_weights=weights, choose_by="macro_f1").eval()
    logged = logging(trained, monkeypatch)
    with torch.no_grad():
        trained.validation_step(batch, 0)
        trained.on_validation_epoch_end()
        outputs = trained(batch)
        losses = {
            target.name: target_loss(target, outputs[target.name], batch.targets[target.name])
            for target in spec.targets
        }
    assert logged["val_loss"][0].item() == pytest.approx(weighted_mean(losses, spec.targets, weights).item(), rel=1e-5)
    assert set(logged) == {"val_loss", "val_score", "val_macro_f1/c", "val_r2/n"}
    assert logged["val_loss"][1] == logged["val_score"][1] == {"prog_bar": True}
    assert trained.ties_by_loss
    assert not module(spec, choose_by="plain").ties_by_loss


def test_one_target_has_one_score_and_one_that_is_unknown_has_none(spec_and_batch, monkeypatch):
    spec, batch = spec_and_batch
    one = module(InputSpec(spec.targets[:1], spec.modalities, spec.kinds)).eval()
    logged = logging(one, monkeypatch)
    with torch.no_grad():
        one.validation_step(batch, 0)
        one.on_validation_epoch_end()
    assert set(logged) == {"val_loss", "val_accuracy"}
    both = module(spec).eval()
    logged = logging(both, monkeypatch)
    unknown = {**batch.targets, "n": torch.full_like(batch.targets["n"], torch.nan)}
    with torch.no_grad():
        both.validation_step(dataclasses.replace(batch, targets=unknown), 0)
        both.on_validation_epoch_end()
    assert set(logged) == {"val_loss", "val_score", "val_accuracy/c"}


def test_a_step_of_several_threads_is_that_of_one(tmp_path, monkeypatch):
    names = [f"word{i} and {'more ' * (i % 5)}" for i in range(ROWS)]
    table = table_of(tmp_path, x=[i / 3 for i in range(ROWS)], t=names, c=["a", "b"] * (ROWS // 2))
    kinds = recognise_columns(table, target="c", split=None, overrides={"t": "text"})
    spec = InputSpec.fit(table, kinds, target="c", rows=np.arange(ROWS))
    dataset = TableDataset(table, np.arange(ROWS), spec)
    batch = collate([dataset[i] for i in range(ROWS)], spec)
    trained = module(spec, token_dropout=0.2, modality_dropout=0.3)
    trained.model = with_heads(trained.model, spec)
    assert isinstance(trained.model, BlendedPerceiver)
    logging(trained, monkeypatch)

    def step():
        trained.zero_grad()
        torch.manual_seed(3)
        loss = trained.training_step(batch, 0)
        loss.backward()
        gradients = {name: p.grad.clone() for name, p in trained.named_parameters() if p.grad is not None}
        return loss.detach(), gradients, trained.rehearse(batch)["c"].detach()

    whole = step()
    monkeypatch.setattr(cores, "LEAST_TOKENS", 1)
    monkeypatch.setattr(rows, "own_cores", lambda: 3)
    found = step()
    torch.testing.assert_close(found, whole)
