"""Coordinates that samples bring themselves, instead of equally spaced ones."""

from typing import Any

import pytest
import torch
from torch import Tensor

import perceiver_pytorch as P
from perceiver_pytorch.nn import fourier_encode
from perceiver_pytorch.ops import use_backend
from small_models import CLASSES, build, inputs

BACKENDS = ("reference", "chunked", "compiled", "projected")


def spaced(length: int, batch: int | None = None) -> Tensor:
    values = torch.linspace(-1, 1, length)
    return values if batch is None else values.expand(batch, -1).clone()


def series_model(channels: int = 2, bands: int = 4, **changes: Any) -> P.MultiModalityPerceiver:
    torch.manual_seed(0)
    modality = P.InputModality("series", channels, 1, bands, 16.0, **changes)
    return P.MultiModalityPerceiver(modalities=[modality], depth=2, num_latents=4, latent_dim=8, num_classes=3).eval()


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("batch", [None, 2])
def test_equally_spaced_coordinates_are_the_default(name: str, batch: int | None) -> None:
    model, given = build(name).eval(), inputs(name)
    if name == "Perceiver":
        coordinates: Any = (spaced(5, batch), None)
    else:
        coordinates = {"image": [spaced(5, batch), spaced(4, batch)]}
    torch.testing.assert_close(model(given, coordinates=coordinates), model(given), rtol=1e-5, atol=1e-6)


def test_a_shared_table_of_the_default_coordinates_gives_equal_bits() -> None:
    model, data = series_model(), {"series": torch.randn(3, 9, 2)}
    assert torch.equal(model(data, coordinates={"series": [spaced(9)]}), model(data))


@pytest.mark.parametrize("count", [1, 3])
def test_tokens_hold_the_features_of_their_sample(count: int) -> None:
    model = series_model(coordinates_per_axis=count)
    places = torch.rand(2, 5, count) * 2 - 1
    context = model._contexts({"series": torch.randn(2, 5, 2)}, None, None, {"series": [places]})[0][0]
    features = fourier_encode(places.double(), 16.0, 4).flatten(-2)
    width = count * 9
    assert model.modalities["series"].position_dim == width
    torch.testing.assert_close(context.dense()[..., -1 - width : -1].double(), features, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(  # by night too with other numbers of channels: loops of 30 channels take a minute to compile
    ("count", "channels", "bands"),
    [(1, 3, 1), *(pytest.param(count, 2, 4, marks=pytest.mark.nightly) for count in (1, 3))],
)
def test_backends_agree_also_in_gradients(backend: str, count: int, channels: int, bands: int) -> None:
    model = series_model(channels, bands, coordinates_per_axis=count)
    data, mask = torch.randn(3, 40, channels, requires_grad=True), torch.rand(3, 40) < 0.8
    places = torch.rand(3, 40, count) * 2 - 1

    def run(name: str) -> list[Tensor]:
        with use_backend(name):
            out = model({"series": data}, {"series": mask}, coordinates={"series": [places]})
        return [out, *torch.autograd.grad(out.square().sum(), [data, *model.parameters()])]

    for got, expected in zip(run(backend), run("reference"), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_a_samples_result_does_not_depend_on_its_neighbours() -> None:
    model = series_model(coordinates_per_axis=3)
    data, places = torch.randn(4, 7, 2), torch.rand(4, 7, 3)
    together = model({"series": data}, coordinates={"series": [places]})
    for i in range(4):
        alone = model({"series": data[i : i + 1]}, coordinates={"series": [places[i : i + 1]]})
        torch.testing.assert_close(alone[0], together[i], rtol=1e-5, atol=1e-6)


def test_the_order_of_tokens_does_not_matter_where_they_bring_their_places() -> None:
    model = series_model()
    data, places, order = torch.randn(2, 7, 2), torch.rand(2, 7), torch.randperm(7)
    first = model({"series": data}, coordinates={"series": [places]})
    torch.testing.assert_close(model({"series": data[:, order]}, coordinates={"series": [places[:, order]]}), first)


def test_a_batch_cut_short_equals_a_masked_one() -> None:
    model, data = series_model(), torch.randn(2, 10, 2)
    mask = torch.arange(10).expand(2, -1) < 6
    whole = model({"series": data}, {"series": mask})
    short = model({"series": data[:, :6]}, coordinates={"series": [spaced(10)[:6]]})
    torch.testing.assert_close(short, whole, rtol=1e-5, atol=1e-6)


def test_a_model_with_coordinates_is_saved_and_loaded(tmp_path: Any) -> None:
    model = series_model(coordinates_per_axis=(3,))
    model.save_pretrained(tmp_path)
    loaded = P.MultiModalityPerceiver.from_pretrained(tmp_path).eval()
    given: Any = ({"series": torch.randn(2, 4, 2)},)
    places = {"series": [torch.rand(2, 4, 3)]}
    assert torch.equal(loaded(*given, coordinates=places), model(*given, coordinates=places))


@pytest.mark.parametrize(
    ("coordinates", "message"),
    [
        ({"serie": [None]}, "coordinates.*did you mean 'series'"),
        ({"series": [None, None]}, "per axis"),
        ({"series": torch.zeros(2, 5)}, "per axis"),
        ({"series": [torch.zeros(2, 4)]}, r"axis 0, must be \(2, 5, 1\) or \(5,\) or \(2, 5\), got \(2, 4\)"),
        ({"series": [torch.zeros(2, 5, 3)]}, r"must be .*, got \(2, 5, 3\)"),
        ({"series": [torch.zeros(5, dtype=torch.int64)]}, "floating point"),
        ({"series": [torch.full((5,), float("nan"))]}, "finite"),
        ([None], "must be a mapping"),
    ],
)
def test_wrong_coordinates_are_named(coordinates: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        series_model()({"series": torch.randn(2, 5, 2)}, coordinates=coordinates)


def test_several_coordinates_have_no_default() -> None:
    with pytest.raises(ValueError, match="are needed: it has 3 per token"):
        series_model(coordinates_per_axis=3)({"series": torch.randn(2, 5, 2)})


@pytest.mark.parametrize("count", [0, (1, 1), 1.5, "1"])
def test_a_wrong_number_of_coordinates_is_named(count: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="coordinates_per_axis"):
        series_model(coordinates_per_axis=count)
