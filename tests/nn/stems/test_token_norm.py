"""The norm between convolutions."""

import pytest
import torch

from perceiver_pytorch.nn.processes import moments, moments_of_parts
from perceiver_pytorch.nn.stems.token_norm import TokenNorm


def test_the_first_train_batch_is_brought_to_mean_zero_and_deviation_one():
    torch.manual_seed(0)
    norm, data = TokenNorm(3), torch.randn(4, 5, 6, 3) * torch.tensor([1.0, 10.0, 0.1]) + 7
    out = norm(data)
    torch.testing.assert_close(out.mean((0, 1, 2)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std((0, 1, 2)), torch.ones(3), atol=1e-2, rtol=0)


def test_real_tokens_alone_count():
    torch.manual_seed(0)
    data, mask = torch.randn(4, 50, 2), torch.rand(4, 50) < 0.5
    norm = TokenNorm(2)
    norm(data.masked_fill(~mask.unsqueeze(-1), torch.nan), mask)
    torch.testing.assert_close(norm.mean, data[mask].mean(0))
    torch.testing.assert_close(norm.scale, 1 / data[mask].std(0, correction=0), atol=1e-4, rtol=1e-4)


def test_a_channel_that_hardly_varies_at_first_is_not_blown_up():
    torch.manual_seed(0)
    norm, first = TokenNorm(2), torch.randn(4, 500, 2) * torch.tensor([10.0, 0.0])
    norm(first)
    usual, still = norm.scale.tolist()
    assert usual == pytest.approx(0.1, rel=0.1)
    assert still == pytest.approx(100 * 2**0.5 * usual, rel=0.01)


def test_later_batches_change_nothing_and_a_row_does_not_depend_on_its_batch():
    torch.manual_seed(0)
    norm, data = TokenNorm(2), torch.randn(4, 5, 2)
    norm(torch.randn(8, 5, 2) + 1)
    in_batch, alone = norm(data)[:1], norm(data[:1])
    assert torch.equal(in_batch, alone)
    assert torch.equal(norm.eval()(data[:1]), alone)


def test_training_computes_what_evaluation_does_and_its_gradients():
    torch.manual_seed(0)
    norm, data = TokenNorm(3).double(), torch.randn(4, 5, 6, 3, dtype=torch.float64, requires_grad=True)
    norm(data * 3 + 2)
    with torch.no_grad():
        norm.weight.copy_(torch.randn(3))
        norm.bias.copy_(torch.randn(3))
        expected = norm(data)
    torch.testing.assert_close(norm(data), expected)

    def function(data, weight, bias):
        return torch.func.functional_call(norm, {"weight": weight, "bias": bias}, (data,))

    assert torch.autograd.gradcheck(function, (data, norm.weight, norm.bias))
    assert torch.autograd.gradgradcheck(function, (data, norm.weight, norm.bias))


def test_evaluation_and_batches_without_a_real_token_are_not_looked_at():
    norm, data = TokenNorm(2), torch.randn(4, 5, 2) + 3
    assert torch.equal(norm.eval()(data), data)
    norm.train()(data, torch.zeros(4, 5, dtype=torch.bool))
    assert not norm.known
    norm(data)
    assert norm.known


def test_a_saved_norm_keeps_its_statistics():
    norm, other = TokenNorm(2), TokenNorm(2)
    norm(torch.randn(4, 5, 2) * 3 + 1)
    other.load_state_dict(norm.state_dict())
    data = torch.randn(2, 5, 2)
    assert torch.equal(other(data), norm(data))


@pytest.mark.parametrize("sizes", [[50], [1, 20, 0, 29]])
def test_statistics_of_pieces_are_those_of_the_whole(sizes: list[int]) -> None:
    tokens = torch.randn(50, 3) * 4 + 100
    expected, found = moments(tokens), moments_of_parts(tokens.split(sizes), torch.zeros(3))
    assert expected is not None
    torch.testing.assert_close(found, expected)  # of one dtype: ranks sum up one kind beside the other
    norms = [TokenNorm(3).train() for _ in range(2)]
    norms[0](tokens)
    norms[1].learn(tokens.split(sizes))
    torch.testing.assert_close(norms[1].state_dict(), norms[0].state_dict())
    assert moments_of_parts([], torch.zeros(3)) is None
