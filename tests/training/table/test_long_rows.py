"""Rows that are too long for memory train, are measured and answered as they would be in memory."""

import dataclasses
import pickle

import numpy as np
import pytest
import torch

from data_helpers import shades, table_of, video, wav
from perceiver_pytorch.data import InputSpec, SpecOptions, TableDataset, collate
from perceiver_pytorch.data.choice import Choice
from perceiver_pytorch.data.errors import DataError
from perceiver_pytorch.explain.maps import maps_of_row
from perceiver_pytorch.models.blended import BlendedPerceiver
from perceiver_pytorch.runtime.signature import arrays_of
from perceiver_pytorch.training.rows import by_rows
from perceiver_pytorch.training.table import partial_inputs, worth
from perceiver_pytorch.training.table.augment import augmented, mixed
from perceiver_pytorch.training.table.build import build_model, run_model, tokens_of, with_heads
from perceiver_pytorch.training.table.explained import subject_of
from perceiver_pytorch.training.table.settings import AugmentConfig, TrainingConfig
from perceiver_pytorch.training.table.token_dropout import thinned, thinned_tokens
from training_helpers import tiny_config

FRAMES, SECONDS = (23, 4, 23, 0, 6, 15), (0.2, 1.0, 0.0, 0.9, 0.3, 0.1)
"""Of the rows' films and sounds; 0: none."""


def in_memory(sample):
    """The same row, all of which is in memory."""
    inputs = {
        name: encoded
        if encoded is None or encoded.pieces is None
        else dataclasses.replace(encoded, values=np.concatenate(list(encoded.pieces.read())), pieces=None)
        for name, encoded in sample.inputs.items()
    }
    return dataclasses.replace(sample, inputs=inputs)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("long"), np.random.default_rng(0)
    films = [video(shades(count, 12, 12), 10) if count else None for count in FRAMES]
    sounds = [wav(rng.normal(0, 0.1, round(8000 * seconds))) if seconds else None for seconds in SECONDS]
    table = table_of(folder, film=films, sound=sounds, y=list("ababab"))
    options = SpecOptions(
        max_video_seconds=None, max_audio_seconds=None, stream_seconds=0.7, video_rate=10, mel_bands=8, mel_step=0.02
    )
    rows = np.arange(len(films))
    spec = InputSpec.fit(table, {"film": "video", "sound": "audio"}, target="y", rows=rows, options=options)
    return TableDataset(table, rows, spec, workers=0)


@pytest.fixture(scope="module")
def samples(dataset):
    return dataset.samples(range(len(dataset)))[0]


@pytest.fixture
def model(dataset, samples):
    torch.manual_seed(0)
    model = with_heads(build_model(dataset.spec, tiny_config("unused").model), dataset.spec)
    assert isinstance(model, BlendedPerceiver)
    run_model(model, collate([in_memory(sample) for sample in samples], dataset.spec), dataset.spec.targets)
    return model.eval()  # the stems have their statistics


@pytest.fixture
def batches(dataset, samples):
    """Long rows in pieces, and the same in memory."""
    return [collate(each, dataset.spec) for each in (samples, [in_memory(sample) for sample in samples])]


def test_which_rows_are_in_pieces(samples, batches):
    assert [sample.in_pieces for sample in samples] == [["film"], ["sound"], ["film"], ["sound"], [], ["film"]]
    short, whole = batches
    assert {name: [*long] for name, long in short.pieces.items()} == {"film": [0, 2, 5], "sound": [1, 3]}
    assert short.inputs["film"].shape[1] == 6  # the longest of those in memory
    for name in whole.inputs:
        assert torch.equal(short.there(name), whole.there(name))
    part = short.of_rows(slice(2, 5))
    assert {name: [*long] for name, long in part.pieces.items()} == {"film": [0], "sound": [1]}
    assert pickle.loads(pickle.dumps(short)).pieces["film"].keys() == {0, 2, 5}


def test_answers_and_gradients_are_those_of_rows_in_memory(model, batches):
    found = []
    for batch in batches:
        parts = model.parts(tokens_of(model, batch))
        parts.answers.square().sum().backward()
        found.append((parts.answers.detach(), parts.there, [p.grad for p in model.parameters()]))
        model.zero_grad()
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-5)


def test_the_first_train_batch_gives_the_same_statistics(dataset, batches):
    found = []
    for batch in batches:
        torch.manual_seed(0)
        model = with_heads(build_model(dataset.spec, tiny_config("unused").model), dataset.spec).train()
        model.parts(tokens_of(model, batch))
        found.append(dict(model.named_buffers()))
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-5)


def test_statistics_are_read_in_full_precision(dataset, batches):
    found = []
    for enabled in (False, True):
        torch.manual_seed(0)
        model = with_heads(build_model(dataset.spec, tiny_config("unused").model), dataset.spec).train()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            tokens_of(model, batches[0])
        found.append(dict(model.named_buffers()))
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=0)


def test_rows_in_threads(model, batches, dataset, monkeypatch):
    monkeypatch.setattr("perceiver_pytorch.training.rows.own_cores", lambda: 3)
    monkeypatch.setattr("perceiver_pytorch.training.cores.LEAST_ROWS", 2)
    short, whole = batches
    targets, weights = dataset.spec.targets, list(model.parameters())

    def compute(rows):
        return (run_model(model, short.of_rows(rows), targets)["y"],)

    (found,) = by_rows(compute, 6, 1 << 20, model)
    expected = run_model(model, whole, targets)["y"]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    pairs = [torch.autograd.grad(each.square().sum(), weights, allow_unused=True) for each in (found, expected)]
    torch.testing.assert_close(*[[g for g in grads if g is not None] for grads in pairs], rtol=1e-3, atol=1e-5)


def test_the_end_of_a_long_film_counts(dataset, model):
    start = shades(14, 12, 12)
    ends = [[np.full((12, 12, 3), value, np.uint8)] * 6 for value in (0, 250)]
    answers = []
    for end in ends:
        table = table_of(dataset.table.root, film=[video(start + end, 10)], sound=[None], y=["a"])
        rows = TableDataset(table, np.arange(1), dataset.spec, workers=0)
        answers.append(run_model(model, collate([rows[0]], dataset.spec), dataset.spec.targets)["y"])
    assert (answers[0] - answers[1]).abs().max() > 1e-3


def test_a_missing_modality_is_missing_in_pieces_too(model, batches, dataset):
    without = [partial_inputs.without(batch, ["film"]) for batch in batches]
    assert without[0].pieces.keys() == {"sound"}
    found, expected = (run_model(model, each, dataset.spec.targets)["y"] for each in without)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_columns_change_rows_in_pieces_too(model, batches):
    order = torch.tensor([3, 0, 5, 1, 2, 4])
    found = []
    for batch in batches:
        tokens = tokens_of(model, batch)
        tokens["in_film"] = worth._permuted_tokens(tokens["in_film"], None, order)
        found.append(model.answers_of(tokens))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("held", [True, False], ids=["tokens", "inputs"])
def test_rows_of_changed_columns_are_answered_in_threads(model, batches, dataset, held, monkeypatch):
    monkeypatch.setattr(worth, "gives_tokens", lambda model: held)
    order, found = torch.tensor([3, 0, 5, 1, 2, 4]), []
    for parts in (1, 3):
        shared = []
        monkeypatch.setattr(
            "perceiver_pytorch.training.rows.shared_out", lambda *given, parts=parts, **more: (parts, 1)
        )
        monkeypatch.setattr(worth, "by_rows", lambda *given, shared=shared: shared.append(1) or by_rows(*given))
        with torch.no_grad():
            permuting = worth._Permuting(model, batches[0], dataset, Choice())
            found.append([permuting.whole.outputs["y"], permuting._answers("film", None, order)["y"]])
        assert len(shared) == 2
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(*found[0])


@pytest.mark.parametrize("seed", range(5))
def test_hidden_modalities_are_those_of_rows_in_memory(model, batches, seed):
    config, found = TrainingConfig(modality_dropout=0.5), []
    for batch in batches:
        torch.manual_seed(seed)
        hidden = thinned(batch, config)
        torch.manual_seed(seed)
        tokens = thinned_tokens(tokens_of(model, batch), config)
        found.append({name: hidden.there(name) for name in hidden.inputs})
        found.append({name.removeprefix("in_"): each.there for name, each in tokens.items()})
    assert all(torch.equal(there[name], other) for there in found for name, other in found[-1].items())


def test_random_changes_leave_rows_in_pieces_as_they_are(batches, dataset):
    short, _ = batches
    config = AugmentConfig(mixup=0.5)
    assert augmented(short, dataset.spec.modalities, config).pieces is short.pieces
    assert mixed(short, config) == (short, None)


def test_what_needs_rows_in_memory_says_so(model, dataset, samples, batches):
    with pytest.raises(DataError, match="row 0, column 'film': is read in pieces, and maps"):
        maps_of_row(subject_of(model, dataset.spec), samples[0])
    with pytest.raises(DataError, match="row 0, column 'film': is too long for memory, and an exported"):
        arrays_of(batches[0], dataset.spec, [])
