"""Maps are true: a cause that was planted is found, what is found counts, and other weights give another map.

Each model is trained on a table whose label one thing decides: a patch of a picture, the pitch of a beep, a word, a
column.
"""

import dataclasses

import numpy as np
import pytest
import torch

from data_helpers import png, wav
from perceiver_pytorch import tables
from perceiver_pytorch.explain.curves import curves
from perceiver_pytorch.explain.maps import maps_of_row
from perceiver_pytorch.explain.pieces import Pieces
from perceiver_pytorch.explain.subject import Question
from perceiver_pytorch.tables.rows import ChosenRows
from perceiver_pytorch.training.table.explained import subject_of
from training_helpers import SILENT

SIDE, PATCH, RATE, SECONDS, BEEP = 16, 4, 4000, 0.4, 0.1
ROWS = 160
SIZES = {
    "num_latents": 8, "latent_dim": 32, "depth": 1, "cross_dim_head": 16, "latent_heads": 2, "latent_dim_head": 16,
    "num_latent_blocks_per_layer": 1,
}  # fmt: skip


def planted(kind):
    """Rows, and where each one's cause is."""
    rng = np.random.default_rng(0)
    rows, places = [], []
    for i in range(ROWS):
        yes = i % 2
        row, place = {"label": ["no", "yes"][yes], "split": "val" if i % 5 == 4 else "train"}, None
        if kind == "patch":
            pixels = rng.integers(60, 120, (SIDE, SIDE), dtype=np.uint8)
            place = rng.integers(0, SIDE - PATCH + 1, 2)
            if yes:
                pixels[place[0] : place[0] + PATCH, place[1] : place[1] + PATCH] = 250
            row["picture"] = png(pixels)
        elif kind == "beep":
            sound = rng.normal(0, 0.02, int(RATE * SECONDS))
            place = rng.uniform(0, SECONDS - BEEP)
            first, length = int(place * RATE), int(BEEP * RATE)
            pitch = 1000 if yes else 400
            sound[first : first + length] += 0.5 * np.sin(2 * np.pi * pitch * np.arange(length) / RATE)
            row["sound"] = wav(sound, RATE)
        elif kind == "word":
            words = [f"{x}word" for x in rng.choice(list("abcdefghkm"), 8)]
            place = int(rng.integers(8))
            words[place] = "splendid" if yes else "ordinary"
            row["text"] = " ".join(words)
        else:
            row |= {f"x{j}": float(x) for j, x in enumerate(rng.normal(size=5))}
            row["x3"] = float(rng.uniform(0.2, 2) * (1 if yes else -1))
        rows.append(row)
        places.append(place)
    return rows, places


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A function of a kind: its run, subject, rows that are answered rightly with yes, and where their causes are."""
    made = {}

    def of(kind):
        if kind not in made:
            rows, places = planted(kind)
            run = tables.fit(
                rows, "label", run=tmp_path_factory.mktemp(kind) / "r", steps=120, batch_size=32, lr=3e-3,
                patience=1000, verbose=False, num_workers=0, **SIZES,
            )  # fmt: skip
            assert run.metrics["accuracy"] > 0.85
            chosen = [i for i, row in enumerate(rows) if row["split"] == "val" and row["label"] == "yes"][:5]
            subject, dataset = subject_of(run.model, run.spec), read(run, rows, chosen)
            right = [i for i in range(len(chosen)) if answers_yes(subject, dataset[i])]
            made[kind] = run, subject, [dataset[i] for i in right], [places[chosen[i]] for i in right]
        return made[kind]

    return of


def read(run, rows, chosen):
    table = ChosenRows.load(rows, run.data, "all", "all", None, SILENT, run.spec)
    table = dataclasses.replace(table, rows=np.array(chosen))
    return table.dataset(run.spec, run.data, 0, SILENT, require_target=True)


def answers_yes(subject, sample):
    question = Question.of(subject, subject.batch(sample))
    return question.target.classes[int(question.chosen)] == "yes"


def share_at_cause(kind, grid, place):
    """The share of what speaks for the answer that lies at the cause, and the share of the grid that it covers."""
    at = np.zeros(grid.shape, dtype=bool)
    if kind == "patch":
        at[place[0] : place[0] + PATCH, place[1] : place[1] + PATCH] = True
    elif kind == "beep":
        steps = len(grid) / SECONDS
        at[max(0, int((place - 0.02) * steps)) : int((place + BEEP + 0.02) * steps) + 1] = True
    elif kind == "word":
        at[place] = True
    else:
        at[3] = True
    support = grid.clip(min=0)
    return support[at].sum() / support.sum(), at.mean()


CASES = [
    ("patch", "picture"),
    pytest.param("beep", "sound", marks=pytest.mark.nightly),
    pytest.param("word", "text", marks=pytest.mark.nightly),
    ("column", "numbers"),
]


@pytest.mark.parametrize("way", ["integrated", "occlusion"])
@pytest.mark.parametrize(("kind", "modality"), CASES)
def test_the_planted_cause_is_found(trained, kind, modality, way):
    _, subject, samples, places = trained(kind)
    assert len(samples) >= 3
    shares = []
    for sample, place in zip(samples, places, strict=True):
        grid = maps_of_row(subject, sample, ways=[way])[way].grids[modality]
        share, covered = share_at_cause(kind, grid, place)
        shares.append(share / covered)
    print(f"\n{kind}, {way}: {np.mean(shares):.1f} times as much at the cause as by chance")
    assert np.mean(shares) > 2.0  # chance is 1


@pytest.mark.parametrize("way", ["integrated", "occlusion"])
@pytest.mark.parametrize(("kind", "modality"), CASES)
def test_what_a_map_names_counts_more_than_what_chance_names(trained, kind, modality, way):
    _, subject, samples, _ = trained(kind)
    areas = []
    for sample in samples:
        pieces = Pieces.of(subject, sample, 32)
        question = Question.of(subject, pieces.batch)
        scores = pieces.means(maps_of_row(subject, sample, ways=[way])[way].values)
        areas.append(curves(pieces, question, scores).areas)
    deletion, insertion = (np.mean([each[name] for each in areas]) for name in ("deletion", "insertion"))
    print(f"\n{kind}, {way}: deletion {deletion:.2f}, insertion {insertion:.2f} better than random orders")
    assert deletion > 0.05
    assert insertion > 0.05


@pytest.mark.parametrize("way", ["integrated", "occlusion", "attention", "gradient"])
def test_other_weights_give_another_map(trained, way):
    """Adebayo et al. 2018, arXiv 1810.03292: a map that stays the same says nothing about the model."""
    run, subject, samples, _ = trained("patch")
    before = [maps_of_row(subject, sample, ways=[way])[way].grids["picture"].ravel() for sample in samples]
    kept = {name: value.clone() for name, value in run.model.state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in run.model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * parameter.std().nan_to_num(0.1))
    after = [maps_of_row(subject, sample, ways=[way])[way].grids["picture"].ravel() for sample in samples]
    run.model.load_state_dict(kept)
    alike = [np.corrcoef(a, b)[0, 1] for a, b in zip(before, after, strict=True)]
    print(f"\n{way}: correlation {np.nanmean(alike):.2f} between maps of trained and of random weights")
    assert np.nanmean(alike) < 0.6


def test_the_column_that_decides_is_the_most_important_one(trained):
    run, *_ = trained("column")
    columns = run.metrics["worth"]["columns"]
    assert columns["x3"]["low"] > 0
    assert max(columns, key=lambda name: columns[name]["drop"]) == "x3"
