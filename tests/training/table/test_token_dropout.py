import dataclasses

import pytest
import torch

from perceiver_pytorch.data import Batch
from perceiver_pytorch.models.inputs import Tokens
from perceiver_pytorch.training.table.settings import TrainingConfig
from perceiver_pytorch.training.table.token_dropout import modality_dropout, thinned, thinned_tokens

ROWS = 400


@pytest.fixture
def batch():
    text_mask = torch.ones(ROWS, 5, dtype=torch.bool)
    text_mask[::4] = False  # a quarter of the rows has no text
    inputs = {"image": torch.zeros(ROWS, 3, 4, 2), "text": torch.ones(ROWS, 5, dtype=torch.int64)}
    return Batch(inputs, {"text": text_mask}, {"y": torch.zeros(ROWS, dtype=torch.int64)}, torch.arange(ROWS))


def test_nothing_is_hidden_unless_asked_for(batch):
    assert thinned(batch, TrainingConfig(modality_dropout=0.0)) is batch
    one = dataclasses.replace(batch, inputs={"image": batch.inputs["image"]}, masks={})
    assert thinned(one, TrainingConfig()) is one


def test_where_there_are_several_modalities_some_go_unless_another_rate_is_given(batch):
    masks = thinned(batch, TrainingConfig()).masks
    both = torch.ones(ROWS, dtype=torch.bool)
    both[::4] = False
    assert masks["text"][both].any(1).float().mean().item() == pytest.approx(0.7 + 0.045, abs=0.08)
    assert (modality_dropout(TrainingConfig(), 2), modality_dropout(TrainingConfig(), 1)) == (0.3, 0.0)


def test_of_tokens_as_much_is_hidden_as_of_a_batch(batch):
    config = TrainingConfig(modality_dropout=0.4, token_dropout=0.2)
    tokens = {
        name: Tokens(values.view(*values.shape[:2], -1) if name == "text" else values, batch.masks.get(name))
        for name, values in batch.inputs.items()
    }
    torch.manual_seed(0)
    expected = thinned(batch, config).masks
    torch.manual_seed(0)
    found = thinned_tokens(tokens, config)
    assert all(torch.equal(found[name].mask, expected[name]) for name in tokens)
    nothing = thinned_tokens(tokens, TrainingConfig(modality_dropout=0.0))
    assert all(nothing[name] is tokens[name] for name in tokens)


def test_tokens_are_hidden_at_the_rate_asked_for(batch):
    masks = thinned(batch, TrainingConfig(token_dropout=0.3, modality_dropout=0.0)).masks
    assert masks["image"].shape == (ROWS, 3, 4)
    assert masks["image"].float().mean().item() == pytest.approx(0.7, abs=0.03)
    assert not masks["text"][::4].any()  # what was masked stays so


def test_modalities_are_hidden_whole_and_one_stays(batch):
    masks = thinned(batch, TrainingConfig(modality_dropout=0.4)).masks
    image, text = masks["image"].flatten(1), masks["text"]
    for mask in (image, text):
        assert (mask.any(1) == mask.all(1)).all()
    assert (image.any(1) | text.any(1)).all()
    assert image[::4].all()  # the only one that those rows have
    both = torch.ones(ROWS, dtype=torch.bool)
    both[::4] = False
    # Of two, each goes with 0.4, but where both would go (0.16) one of them stays.
    assert image[both].any(1).float().mean().item() == pytest.approx(0.6 + 0.08, abs=0.08)


def test_a_row_without_anything_stays_without(batch):
    masks = {"text": torch.zeros(ROWS, 5, dtype=torch.bool), "image": torch.zeros(ROWS, 3, 4, dtype=torch.bool)}
    empty = Batch(batch.inputs, masks, batch.targets, batch.rows)
    hidden = thinned(empty, TrainingConfig(modality_dropout=0.5, token_dropout=0.5)).masks
    assert not any(mask.any() for mask in hidden.values())


def test_all_or_none_of_the_tokens(batch):
    assert not thinned(batch, TrainingConfig(token_dropout=1.0)).masks["image"].any()
    kept = thinned(batch, TrainingConfig(modality_dropout=1.0)).masks
    there = torch.stack([kept["image"].flatten(1).any(1), kept["text"].any(1)])
    assert (there.sum(0) == 1).all()  # one of two stays, whichever it is
    assert 0.2 < there[1].float().mean() < 0.55
    assert torch.equal(thinned(batch, TrainingConfig(modality_dropout=1e-9)).masks["text"], batch.masks["text"])
