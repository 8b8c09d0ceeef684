"""Models read an input in pieces as they read it whole."""

import weakref
from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor, nn

import perceiver_pytorch as P
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


def test_a_stem_is_refused() -> None:
    layers = [{"channels": 4, "kernel": [3], "stride": [1]}]
    stem = stem_from_config({"name": "convolution", "input_channels": 1, "layers": layers})
    modality = P.InputModality("audio", 1, 1, 2, 4.0, stem=stem)
    model = P.MultiModalityPerceiver(modalities=[modality], depth=1, num_latents=2, latent_dim=4)
    with pytest.raises(ValueError, match="its stem would not see across"):
        model({"audio": in_pieces(torch.zeros(2, 11, 1))})
