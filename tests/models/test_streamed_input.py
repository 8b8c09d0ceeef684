"""Models read an input in pieces as they read it whole."""

import weakref
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import perceiver_pytorch as P
from perceiver_pytorch.models.streamed_input import MixedInput
from perceiver_pytorch.nn.stems import stem_from_config
from small_models import CLASSES, build, inputs, perceiver_io

NAMES = [name for name in CLASSES if name != "Perceiver"]


def in_pieces(data: Tensor, length: int = 3) -> P.StreamedInput:
    return P.StreamedInput(lambda: data.split(length, dim=1), data.shape)


def gradients(model: nn.Module) -> dict[str, Tensor]:
    found = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    return found


def compare(model: nn.Module, whole: object, pieces: object, **options: object) -> None:
    expected = model(whole, **options)
    expected.square().mean().backward()
    grads = gradients(model)
    found = model(pieces, **options)
    found.square().mean().backward()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradients(model), grads, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("streamed", [("image",), ("audio", "text"), ("image", "audio", "text")])
def test_every_model(name: str, streamed: Sequence[str]) -> None:
    whole = inputs(name)
    pieces = {key: in_pieces(data) if key in streamed else data for key, data in whole.items()}
    model = build(name)
    compare(model, whole, pieces)
    model.recompute = True
    compare(model, whole, pieces)


def test_a_model_of_one_modality() -> None:
    data = inputs("Perceiver")
    compare(build("Perceiver"), data, in_pieces(data, 2))


def test_perceiver_io() -> None:
    whole = inputs("MultiModalityPerceiver")
    model = perceiver_io(outputs=[P.Output("label", P.LearnedQueries(6), 10)])
    compare(model, whole, {**whole, "audio": in_pieces(whole["audio"])})


def test_missing_modalities_masks_and_places() -> None:
    whole = inputs("MultiModalityPerceiver")
    pieces = {name: in_pieces(data, 2) for name, data in whole.items()}
    mask = {"image": torch.rand(2, 5, 4) < 0.5}
    present = {"audio": torch.tensor([True, False])}
    places = {"image": (torch.rand(2, 5), None), "audio": (torch.linspace(-1, 0.5, 11),)}
    model = build("MultiModalityPerceiver")
    compare(model, whole, pieces, mask=mask, present=present, coordinates=places)


def test_one_piece_at_a_time_is_in_memory() -> None:
    """Each layer reads all pieces, the backward pass once more, and nothing keeps one."""
    readings, pieces = 0, weakref.WeakSet[Tensor]()

    def read() -> Iterator[Tensor]:
        nonlocal readings
        readings += 1
        for i in range(50):
            assert len(pieces) <= 2, f"at piece {i} of reading {readings}"  # the last one, and the one before it
            piece = torch.zeros(1, 40, 1)
            pieces.add(piece)
            yield piece

    model = build("MultiModalityPerceiver")
    model({"audio": P.StreamedInput(read, (1, 2000, 1))}).sum().backward()
    assert readings == 2 * model.depth


@pytest.mark.parametrize(
    ("shape", "pieces", "message"),
    [
        ((2, 11, 1), [torch.zeros(2, 4, 1)] * 2, "end at 8, not at 11"),
        ((2, 11, 1), [torch.zeros(2, 4, 1)] * 3, "longer than its 11"),
        ((2, 11, 1), [torch.zeros(3, 11, 1)], r"must be \(2, any length, 1\), got \(3, 11, 1\)"),
        ((2, 11, 1), [torch.zeros(2, 11)], r"got \(2, 11\)"),
        ((2, 11, 2), [], "1 channels"),
        ((3, 11, 1), [], "same batch size"),
    ],
)
def test_what_does_not_fit(shape: tuple[int, ...], pieces: list[Tensor], message: str) -> None:
    given = {"image": torch.zeros(2, 5, 4, 3), "audio": P.StreamedInput(lambda: pieces, shape)}
    with pytest.raises(ValueError, match=message):
        build("MultiModalityPerceiver")(given)


def test_bad_arguments() -> None:
    with pytest.raises(TypeError, match="a function that gives the pieces anew, got list"):
        P.StreamedInput([torch.zeros(2, 3, 1)], (2, 3, 1))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="numbers above 0"):
        P.StreamedInput(list, (2,))
    model = build("MultiModalityPerceiver")
    with pytest.raises(TypeError, match="a piece of a StreamedInput must be a tensor, got list"):
        model({"audio": P.StreamedInput(lambda: [[1]], (2, 11, 1))})  # type: ignore[list-item]


FILM = [
    {"channels": 4, "kernel": [1, 3, 3], "stride": [1, 2, 2]},
    {"channels": 5, "kernel": [3, 1, 1], "stride": [2, 1, 1]},
    {"channels": 3, "kernel": [3, 1, 1], "stride": [1, 1, 1]},
]
SOUND = [{"channels": 4, "kernel": [5, 3], "stride": [3, 2]}, {"channels": 3, "kernel": [3, 3], "stride": [2, 1]}]
SERIES = [{"channels": 4, "kernel": [3], "stride": [4]}, {"channels": 5, "kernel": [1], "stride": [2]}]
STEMS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {  # and the axes of their data
    "film": ({"name": "convolution", "layers": FILM, "changes": 2}, (29, 6, 5)),
    "differences": ({"name": "convolution", "layers": FILM[:2], "differences": True}, (20, 4, 4)),
    "sound": ({"name": "convolution", "layers": SOUND}, (41, 6)),
    "series": ({"name": "convolution", "layers": SERIES}, (37,)),
    "patches": ({"name": "patch", "patch": [3, 2], "channels": 4}, (23, 5)),
}


def stemmed(stem: dict[str, Any], axes: tuple[int, ...]) -> nn.Module:
    torch.manual_seed(0)
    modality = P.InputModality(
        "input", 2, len(axes), 2, 4.0, scale=0.5, offset=0.1, stem=stem_from_config({"input_channels": 2, **stem})
    )
    sizes = {"depth": 2, "num_latents": 3, "latent_dim": 4, "latent_heads": 1, "latent_dim_head": 4}
    return P.MultiModalityPerceiver(modalities=[modality], num_classes=2, **sizes).double()


def reached(name: str, sizes: Sequence[int] | int, *, is_first: bool, is_masked: bool) -> None:
    """A model reads pieces as the whole, in float64."""
    stem, axes = STEMS[name]
    data = torch.randn(2, *axes, 2, dtype=torch.float64)
    mask = torch.rand(2, *axes) < 0.7 if is_masked else None
    if mask is not None:
        mask[1, axes[0] // 2 :] = False
    masks = None if mask is None else {"input": mask}
    models = [stemmed(stem, axes) for _ in range(2)]
    if not is_first:
        before = torch.randn_like(data)
        for model in models:
            model({"input": before})  # the statistics of its norms
    found = []
    for model, values in zip(models, (data, P.StreamedInput(lambda: data.split(sizes, 1), data.shape)), strict=True):
        answer = model({"input": values}, masks)
        answer.square().sum().backward()
        found.append((answer.detach(), gradients(model), dict(model.named_buffers())))
    # The statistics are float32, and summed up in another order.
    near = {"rtol": 1e-4, "atol": 1e-6} if is_first else {"rtol": 1e-9, "atol": 1e-12}
    torch.testing.assert_close(found[1], found[0], **near)
    assert all(any(part in name for name in found[1][1]) for part in ("stems", "latents"))


@pytest.mark.parametrize("sizes", [1, 3, 8, 16, 100])
@pytest.mark.parametrize("name", STEMS)
def test_a_stem_sees_across_the_borders_of_pieces(name: str, sizes: int) -> None:
    reached(name, sizes, is_first=False, is_masked=False)


@pytest.mark.parametrize("name", STEMS)
def test_the_first_train_batch_gives_a_stem_its_statistics(name: str) -> None:
    reached(name, 6, is_first=True, is_masked=True)


@settings(max_examples=8, deadline=None)
@given(name=st.sampled_from(list(STEMS)), cuts=st.sets(st.integers(1, 19)), is_masked=st.booleans())
def test_pieces_may_be_cut_anywhere(name: str, cuts: set[int], is_masked: bool) -> None:
    bounds = [0, *sorted(cuts), STEMS[name][1][0]]
    reached(name, [b - a for a, b in pairwise(bounds)], is_first=False, is_masked=is_masked)


def test_words_in_pieces() -> None:
    stem = stem_from_config({"name": "words", "num_ids": 9, "channels": 4})
    modality = P.InputModality("words", 3, 1, 2, 4.0, stem=stem)
    model = P.MultiModalityPerceiver(modalities=[modality], depth=2, num_latents=2, latent_dim=4)
    data = torch.randint(0, 9, (2, 11, 3))
    compare(model, {"words": data}, {"words": in_pieces(data, 4)})


def test_some_rows_in_pieces() -> None:
    """Rows of a batch that come in pieces give what they give in memory, and the statistics are of all rows."""
    stem, axes = STEMS["film"]
    data = torch.randn(4, *axes, 2, dtype=torch.float64)
    lengths = torch.tensor([29, 7, 12, 20])
    mask = (torch.arange(29) < lengths[:, None])[:, :, None, None].expand(4, *axes)
    places = torch.linspace(-1, 1, 29)
    long = {
        row: P.StreamedInput(
            partial(lambda one: one.split(5, dim=1), data[row : row + 1, :length]), (1, length, *axes[1:], 2)
        )
        for row, length in ((0, 29), (3, 20))
    }
    short = mask[:, :12].clone()
    short[[0, 3]] = False
    mixed = MixedInput(data[:, :12], long, {row: (places[: x.shape[1]], None, None) for row, x in long.items()})
    found = []
    for values, seen in ((data, mask), (mixed, short)):
        model = stemmed(stem, axes)
        where = {"input": (places[: seen.shape[1]], None, None)}
        answer = model({"input": values}, {"input": seen}, coordinates=where)
        (answer * torch.arange(1.0, 5.0)[:, None]).square().sum().backward()
        found.append((answer.detach(), gradients(model), dict(model.named_buffers())))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-6)


def test_gradients_of_pieces_are_seen_by_autograd() -> None:
    stem, axes = STEMS["series"]
    model, data = stemmed(stem, axes), torch.randn(1, *axes, 2, dtype=torch.float64)
    weights = list(model.parameters())
    expected = torch.autograd.grad(model({"input": data}).sum(), weights)
    torch.testing.assert_close(torch.autograd.grad(model({"input": in_pieces(data, 9)}).sum(), weights), expected)


def test_what_cannot_be_streamed() -> None:
    numbers = stem_from_config({"name": "numbers", "columns": 11, "input_channels": 2})
    modality = P.InputModality("numbers", 2, 1, 2, 4.0, stem=numbers)
    model = P.MultiModalityPerceiver(modalities=[modality], depth=1, num_latents=2, latent_dim=4)
    with pytest.raises(ValueError, match="its stem does not say by `reach`"):
        model({"numbers": in_pieces(torch.zeros(2, 11, 2))})
    stem, axes = STEMS["series"]
    learned = torch.zeros(1, *axes, 2, dtype=torch.float64, requires_grad=True)
    with pytest.raises(ValueError, match="must be data without gradient"):
        stemmed(stem, axes)({"input": in_pieces(learned)})
