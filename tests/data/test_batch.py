from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from data_helpers import fitted
from perceiver_pytorch.data import (
    AudioSpec,
    CategoriesSpec,
    ClassTarget,
    DataError,
    Encoded,
    ImageSpec,
    InputSpec,
    LabelsTarget,
    NumbersSpec,
    NumberTarget,
    PointsSpec,
    Sample,
    SeriesSpec,
    TableDataset,
    TextSpec,
    VideoSpec,
    collate,
)

SPEC = InputSpec(
    (ClassTarget("y", ("a", "b"), (3, 2)), LabelsTarget("z", ("p", "q"), (1, 2), 3, "|"), NumberTarget("n", 1.0, 2.0)),
    (
        ImageSpec("picture", 4, 6, 3, 2),
        AudioSpec("sound", 8000, 96, 32),
        TextSpec("words", 8),
        NumbersSpec("numbers", ("p", "q"), (0.0, 0.0), (1.0, 1.0)),
        CategoriesSpec("categories", ("r", "s"), (("x",), ("y", "z"))),
    ),
    {},
)


@st.composite
def samples(draw):
    inputs = {}
    rng = np.random.default_rng(draw(st.integers(0, 100)))
    for modality in SPEC.modalities:
        state = draw(st.sampled_from(["missing", "full", "masked"]))
        axes = tuple(draw(st.integers(1, length)) for length in modality.axes)
        values = rng.integers(0, 3, axes + modality.shape[len(axes) :]).astype(modality.dtype)
        mask = rng.random(axes) < 0.5 if state == "masked" else None
        inputs[modality.name] = None if state == "missing" else Encoded(values, mask)
    given = {"y": [None, "a", "b"], "z": [None, "p", "p|q"], "n": [None, "3", 1.0]}
    targets = {target.name: target.encode(draw(st.sampled_from(given[target.name]))) for target in SPEC.targets}
    return Sample(inputs, targets, draw(st.integers(0, 1000)))


@given(st.lists(samples(), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_every_modality_is_there_and_masks_only_where_needed(batch_samples):
    batch = collate(batch_samples, SPEC)
    assert list(batch.inputs) == [modality.name for modality in SPEC.modalities]
    for modality in SPEC.modalities:
        cells = [sample.inputs[modality.name] for sample in batch_samples]
        values, mask = batch.inputs[modality.name], batch.masks.get(modality.name)
        rank = len(modality.axes)
        shapes = [cell.values.shape[:rank] for cell in cells if cell is not None] or [(1,) * rank]
        axes = tuple(max(lengths) for lengths in zip(*shapes, strict=True))
        assert values.shape == (len(cells), *axes, *modality.shape[rank:])
        assert str(values.dtype) == f"torch.{modality.dtype}"
        whole = np.zeros((len(cells), *axes), bool)
        for i, cell in enumerate(cells):
            expected = np.zeros(values.shape[1:])
            if cell is not None:
                region = tuple(map(slice, cell.values.shape[:rank]))
                expected[region] = cell.values
                whole[i][region] = True if cell.mask is None else cell.mask
            assert np.array_equal(values[i].numpy(), expected)
        assert (mask is None) == whole.all()
        assert mask is None or (mask.dtype == torch.bool and np.array_equal(mask.numpy(), whole))
        places = batch.coordinates.get(modality.name, (None,) * rank)
        for length, longest, place in zip(axes, modality.axes, places, strict=True):
            assert (place is None) == (length == longest)
            assert place is None or torch.equal(place, torch.linspace(-1, 1, longest)[:length])
    assert {name: values.dtype for name, values in batch.targets.items()} == {
        "y": torch.int64,
        "z": torch.float32,
        "n": torch.float32,
    }
    for name, values in batch.targets.items():
        assert np.array_equal(values.numpy(), np.stack([s.targets[name] for s in batch_samples]), equal_nan=True)
    assert batch.rows.tolist() == [sample.row for sample in batch_samples]
    assert batch.rows.dtype == torch.int64


def test_batches_from_a_loader_move_to_a_device(av_table):
    spec, splits = fitted(av_table, "label")
    loader = DataLoader(
        TableDataset(av_table, splits.train, spec), batch_size=16, collate_fn=partial(collate, spec=spec)
    )
    batches = list(loader)
    assert [len(batch.rows) for batch in batches] == [16, 16, 8]
    assert batches[0].inputs["image"].dtype == torch.uint8
    assert set(batches[0].masks) == {"audio"}
    moved = batches[0].to("meta")
    assert {
        tensor.device.type for tensor in (*moved.inputs.values(), *moved.masks.values(), *moved.targets.values())
    } == {"meta"}
    assert moved.rows.device.type == "cpu"


def test_no_sample_is_an_error():
    with pytest.raises(DataError, match="got none"):
        collate([], SPEC)


def test_places_are_padded_with_zeros_and_cut_as_the_batch():
    series = SeriesSpec("s", 4, (0.0,), (1.0,), span=10.0, step=1.0)
    cloud = PointsSpec("p", 4, (0.0, 0.0), 1.0, (), ())
    film = VideoSpec("v", 5.0, 4, 4, 4, 4, clock=2.0)
    spec = InputSpec((ClassTarget("y", ("a", "b"), (1, 1)),), (series, cloud, film), {})
    ones = [np.ones((steps, 1), np.float32) for steps in (2, 3)]
    places = [np.array(values, np.float32) for values in ([-1, 1], [-1, 0, 1], [[1, 2]])]
    frames = Encoded(np.ones((3, 1, 1, 48), np.uint8))
    rows = [
        Sample({"s": Encoded(ones[0], None, (places[0],)), "p": None, "v": frames}, {"y": np.int64(0)}, 5),
        Sample({"s": Encoded(ones[1], None, (places[1],)), "p": Encoded(places[2], None, (places[2],)), "v": None},
               {"y": np.int64(0)}, 7),
        Sample({"s": None, "p": None, "v": None}, {"y": np.int64(0)}, 9),
    ]  # fmt: skip
    batch = collate(rows, spec)
    assert batch.coordinates["s"][0].tolist() == [[-1, 1, 0], [-1, 0, 1], [0, 0, 0]]
    assert batch.coordinates["p"][0].tolist() == [[[0, 0]], [[1, 2]], [[0, 0]]]
    time, *others = batch.coordinates["v"]
    np.testing.assert_allclose(time, [-1, -0.8, -0.6], atol=1e-6)
    assert others == [None, None]
    assert batch.inputs["s"].shape == (3, 3, 1)
    assert batch.masks["s"].tolist() == [[True, True, False], [True] * 3, [False] * 3]
    assert batch.coordinates["s"][0].dtype == torch.float32
    nothing = collate(rows[2:], spec)
    assert {name: tuple(values.shape) for name, values in nothing.inputs.items()} == {
        "s": (1, 1, 1),
        "p": (1, 1, 2),
        "v": (1, 1, 1, 1, 48),
    }
    moved = batch.to("meta")
    assert moved.coordinates["v"][1] is None
    assert moved.coordinates["s"][0].device.type == "meta"
    assert list(moved.coordinates) == ["s", "p", "v"]
