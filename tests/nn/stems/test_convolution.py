"""Convolutions in front of the cross-attend."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from perceiver_pytorch.nn.stems import stem_from_config
from perceiver_pytorch.nn.stems.convolution import ConvolutionStem


def layer(channels, kernel, stride):
    return {"channels": channels, "kernel": list(kernel), "stride": list(stride)}


SERIES = {"input_channels": 3, "layers": [layer(8, [3], [2]), layer(4, [5], [2])]}
IMAGE = {"input_channels": 2, "layers": [layer(8, [3, 3], [2, 1]), layer(4, [3, 3], [2, 2])]}
FILM = {
    "input_channels": 1,
    "layers": [layer(8, [1, 3, 3], [1, 2, 2]), layer(4, [3, 1, 1], [2, 1, 1])],
    "differences": True,
    "changes": 3,
}
CUBE = {"input_channels": 1, "layers": [layer(4, [3, 3, 3], [2, 2, 2])]}
CASES = {"series": (SERIES, (9,)), "image": (IMAGE, (7, 6)), "film": (FILM, (5, 4, 6)), "cube": (CUBE, (5, 4, 3))}


@pytest.fixture(params=CASES)
def case(request):
    arguments, axes = CASES[request.param]
    torch.manual_seed(0)
    return ConvolutionStem(**arguments), axes


def data_for(stem, axes, batch=2):
    return torch.randn(batch, *axes, stem.input_channels)


def test_the_grid_is_coarser_by_the_strides(case):
    stem, axes = case
    out, mask, places = stem(data_for(stem, axes))
    coarser = [-(-length // stride) for length, stride in zip(axes, stem.strides, strict=True)]
    assert out.shape == (2, *coarser, stem.channels)
    assert mask is None
    assert [None if place is None else len(place) for place in places] == [
        None if stride == 1 else length for length, stride in zip(coarser, stem.strides, strict=True)
    ]


def test_what_is_masked_does_not_matter(case):
    stem, axes = case
    mask = torch.rand(3, *axes) < 0.6
    data = data_for(stem, axes, batch=3)
    out, there, _ = stem(data, mask)
    other, again, _ = stem(data.masked_fill(~mask.unsqueeze(-1), torch.nan), mask)
    assert torch.equal(there, again)
    torch.testing.assert_close(other[there], out[there])


@given(extra=st.integers(0, 6), seed=st.integers(0, 100))
def test_a_row_does_not_depend_on_its_batch(extra, seed):
    torch.manual_seed(seed)
    stem = ConvolutionStem(**SERIES).eval()
    row, others = torch.randn(1, 5, 3), torch.randn(2, 5 + extra, 3)
    places = torch.linspace(-1, 1, 20)
    alone, _, where = stem(row, None, [places[:5]])
    mask = torch.ones(3, 5 + extra, dtype=torch.bool)
    mask[0, 5:] = False
    batch, there, wheres = stem(torch.cat([F.pad(row, (0, 0, 0, extra)), others]), mask, [places[: 5 + extra]])
    assert there[0].sum() == alone.shape[1]
    torch.testing.assert_close(batch[:1, : alone.shape[1]], alone, atol=1e-6, rtol=1e-5)
    assert torch.equal(wheres[0][: alone.shape[1]], where[0])


def test_two_axes_are_those_of_pytorchs_convolution():
    stem = ConvolutionStem(input_channels=2, layers=[layer(5, [3, 5], [2, 1])]).eval()
    data = data_for(stem, (7, 6))
    expected = F.conv2d(data.movedim(-1, 1), stem.weights[0], None, (2, 1), (1, 2)).movedim(1, -1)
    torch.testing.assert_close(stem(data)[0], F.gelu(stem.norms[0](expected)))


@pytest.mark.parametrize("sizes", [((1, 3, 3), (1, 2, 2)), ((3, 1, 1), (2, 1, 1)), ((3, 3, 3), (1, 1, 2))])
def test_three_axes_are_those_of_pytorchs_convolution(sizes):
    kernel, stride = sizes
    stem = ConvolutionStem(input_channels=2, layers=[layer(5, kernel, stride)]).eval()
    data = data_for(stem, (5, 6, 7))
    padding = [size // 2 for size in kernel]
    expected = F.conv3d(data.movedim(-1, 1), stem.weights[0], None, stride, padding).movedim(1, -1)
    torch.testing.assert_close(stem(data)[0], F.gelu(stem.norms[0](expected)))


def test_differences_are_to_the_real_token_before():
    stem = ConvolutionStem(input_channels=1, layers=[layer(2, [1], [1])], differences=True).eval()
    with torch.no_grad():
        stem.weights[0].copy_(torch.tensor([[[0.0], [1.0]], [[0.0], [-1.0]]]))
    mask = torch.tensor([[True, True, False, True, True]])
    data = torch.tensor([1.0, 3.0, 50.0, 4.0, 4.5]).view(1, 5, 1)
    read = []
    stem.norms[0].register_forward_pre_hook(lambda module, inputs: read.append(inputs[0]))
    stem(data, mask)
    assert read[0][0, :, 0].tolist() == [0.0, 2.0, 0.0, 0.0, 0.5]


def test_changes_are_what_a_convolution_finds_in_differences():
    config = {"input_channels": 2, "layers": [layer(5, [1, 3, 3], [1, 2, 2])]}
    stem, other = ConvolutionStem(**config, changes=5).eval(), ConvolutionStem(**config).eval()
    other.load_state_dict(stem.state_dict())
    data = data_for(stem, (4, 7, 6))
    differences = torch.cat([torch.zeros_like(data[:, :1]), data[:, 1:] - data[:, :-1]], dim=1)
    torch.testing.assert_close(stem(data)[0], other(differences)[0], atol=1e-5, rtol=1e-5)
    some = ConvolutionStem(**config, changes=2).eval()
    some.load_state_dict(stem.state_dict())
    expected = torch.cat([other(data)[0][..., :3], stem(data)[0][..., 3:]], dim=-1)
    torch.testing.assert_close(some(data)[0], expected)


def test_small_changes_are_read_as_loudly_as_what_stays():
    """Frames that differ by a tenth of what they have in common."""
    torch.manual_seed(0)
    stem = ConvolutionStem(input_channels=1, layers=[layer(8, [1, 3, 3], [1, 2, 2])], changes=4).train()
    data = torch.randn(1, 1, 9, 9, 1) + 0.1 * torch.randn(6, 5, 9, 9, 1)
    read = []
    stem.norms[0].register_forward_hook(lambda module, inputs, output: read.append(output))
    stem(data)
    deviations = read[0].flatten(0, -2).std(0)
    torch.testing.assert_close(deviations, torch.ones(8), atol=0.01, rtol=0)


def test_wrong_changes_are_told():
    for wrong in (-1, 5):
        with pytest.raises(ValueError, match="changes must lie"):
            ConvolutionStem(input_channels=1, layers=[layer(4, [3], [1])], changes=wrong)


def test_gradients_reach_data_and_weights(case):
    stem, axes = case
    data = data_for(stem, axes).requires_grad_()
    stem(data)[0].square().sum().backward()
    assert data.grad.abs().sum() > 0
    assert all(parameter.grad.abs().sum() > 0 for parameter in stem.parameters())


def test_its_config_builds_it_again(case):
    stem, axes = case
    config = stem.to_config()
    other = stem_from_config({"name": "convolution", **config})
    other.load_state_dict(stem.state_dict())
    data = data_for(stem, axes)
    assert torch.equal(other.eval()(data)[0], stem.eval()(data)[0])


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "layers must be one or more"),
        ([layer(4, [3], [1]), layer(4, [3, 3], [1, 1])], "over the same axes"),
        ([layer(4, [2], [1])], "an odd kernel"),
        ([layer(4, [3], [1, 1])], "a stride for each axis"),
        ([layer(4, [3] * 4, [1] * 4)], "each of 1 to 3 axes"),
        ([layer(0, [3], [1])], "channels of a layer"),
        ([layer(4, [3], [0])], "stride of a layer"),
        ([{"channels": 4}], "channels, kernel and stride"),
    ],
)
def test_wrong_layers_are_told(layers, message):
    with pytest.raises(ValueError, match=message):
        ConvolutionStem(input_channels=1, layers=layers)
