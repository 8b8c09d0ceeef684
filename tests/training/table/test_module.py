import numpy as np
import pytest
import torch

from data_helpers import table_of
from perceiver_pytorch.data import InputSpec, TableDataset, collate, recognise_columns
from perceiver_pytorch.training.table.build import build_model
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
    assert whole is batch.targets
    assert sorted(partners["c"].tolist()) == sorted(batch.targets["c"].tolist())


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
