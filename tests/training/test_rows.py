import threading

import pytest
import torch
from torch import nn

from perceiver_pytorch.nn.randomness import Dropout
from perceiver_pytorch.nn.stems.token_norm import TokenNorm
from perceiver_pytorch.ops import threads as threads_of_operations
from perceiver_pytorch.training.rows import by_rows
from perceiver_pytorch.training.run import accelerator

MANY = 1 << 20  # tokens


@pytest.fixture
def threads(monkeypatch):
    """Three threads, whatever the machine has."""
    before = torch.get_num_threads()
    monkeypatch.setattr(accelerator, "usable_cores", lambda: 3)
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.dropout = nn.Linear(4, 8), nn.Linear(8, 2), Dropout(0.5)
        self.unused, self.frozen = nn.Linear(1, 1), nn.Parameter(torch.ones(2), requires_grad=False)

    def forward(self, x):
        out = self.second(self.dropout(self.first(x).tanh())) * self.frozen
        return out, out.detach().argmax(1)


def parts_of(rows, tokens=MANY):
    """The parts that so many rows are cut into, in order."""
    found = []

    def compute(part):
        found.append(part)
        return (torch.zeros(part.stop - part.start),)

    by_rows(compute, rows, tokens, nn.Identity())
    return sorted(found, key=lambda part: part.start)


def trained(net, x, cut):
    """Outputs, gradients and the generator's state after a step."""
    net.zero_grad()
    torch.manual_seed(5)
    if cut:
        out, best = by_rows(lambda rows: net(x[rows]), len(x), MANY, net)
    else:
        out, best = net(x)
    (out.square().mean() + out[:, 0].exp().sum()).backward()
    grads = {name: p.grad for name, p in net.named_parameters()}
    return out, best, grads, torch.get_rng_state()


@pytest.mark.usefixtures("threads")
def test_results_gradients_and_random_numbers_are_those_of_the_whole_batch():
    torch.manual_seed(0)
    net, x = Net(), torch.randn(13, 4)
    whole, found = trained(net, x, cut=False), trained(net, x, cut=True)
    torch.testing.assert_close(found[0], whole[0])
    assert torch.equal(found[1], whole[1])
    assert not found[1].requires_grad
    assert torch.equal(found[3], whole[3])
    for name, expected in whole[2].items():
        if expected is None:
            assert found[2][name] is None
        else:
            torch.testing.assert_close(found[2][name], expected)


@pytest.mark.usefixtures("threads")
def test_parts_are_computed_at_the_same_time():
    met, x = threading.Barrier(3, timeout=20), torch.ones(12, 1)  # breaks where one part waits for another to end
    scale = nn.Linear(1, 1, bias=False)

    class Meeting(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            met.wait()
            return x * 2

        @staticmethod
        def backward(ctx, gradient):
            met.wait()
            return gradient * 2

    (out,) = by_rows(lambda rows: (Meeting.apply(scale(x[rows])),), 12, MANY, scale)
    out.sum().backward()
    assert float(scale.weight.grad) == 24


@pytest.mark.usefixtures("threads")
def test_a_step_gives_the_same_bits_again():
    torch.manual_seed(0)
    net, x = Net(), torch.randn(13, 4)
    first = trained(net, x, cut=True)[2]["first.weight"].clone()
    assert all(torch.equal(trained(net, x, cut=True)[2]["first.weight"], first) for _ in range(5))


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_modes_hold_in_every_thread(mode):
    net, x = Net().eval(), torch.randn(12, 4)
    found = []

    def compute(rows):
        found.append((torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_num_threads()))
        return net(x[rows])

    with mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        out, _ = by_rows(compute, 12, MANY, net)
        expected, _ = net(x)
        inference = torch.is_inference_mode_enabled()
    assert found == [(False, inference, 1)] * 3
    assert out.dtype == expected.dtype
    torch.testing.assert_close(out, expected)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize(
    ("rows", "tokens", "parts"), [(7, 1 << 15, 1), (8, 1 << 15, 2), (12, MANY, 3), (64, MANY, 3), (64, 4000, 1)]
)
def test_few_rows_or_tokens_are_not_cut(rows, tokens, parts):
    found = parts_of(rows, tokens)
    assert len(found) == parts
    assert [row for part in found for row in range(part.start, part.stop)] == list(range(rows))


@pytest.mark.usefixtures("threads")
@pytest.mark.skipif(threads_of_operations._openmp() is None, reason="this PyTorch brings no GNU OpenMP along")
def test_cores_that_are_left_share_operations_forward_and_backward():
    class Seen(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            seen.append(torch.get_num_threads())
            return x * 2

        @staticmethod
        def backward(ctx, gradient):
            seen.append(torch.get_num_threads())
            return gradient * 2

    scale, seen = nn.Linear(1, 1, bias=False), []
    with accelerator.on_own_cores():
        for rows in (1, 12):
            (out,) = by_rows(lambda rows: (Seen.apply(scale(torch.ones(1, 1)))[rows],), rows, 8 * MANY, scale)
            out.sum().backward()
        assert torch.get_num_threads() == 1
    assert seen == [3, 3, *[1] * 6]


@pytest.mark.usefixtures("threads")
def test_what_comes_from_pytorchs_generator_goes_on_where_rows_stay_together():
    dropout, x = nn.Dropout(0.5), torch.ones(1, 100, requires_grad=True)
    with accelerator.on_own_cores():
        first, second = (by_rows(lambda rows: (dropout(x[rows]),), 1, 8 * MANY, dropout)[0] for _ in range(2))
    assert not torch.equal(first, second)


@pytest.mark.usefixtures("threads")
def test_an_error_of_a_thread_is_raised():
    def compute(rows):
        if rows.start:
            raise MemoryError("too large")
        return (torch.zeros(rows.stop),)

    with pytest.raises(MemoryError, match="too large"):
        by_rows(compute, 12, MANY, nn.Identity())


@pytest.mark.usefixtures("threads")
def test_rows_that_reach_no_parameter_have_no_gradient():
    model, x = nn.Linear(1, 1, bias=False), torch.ones(12, 1)
    (out,) = by_rows(lambda rows: (model(x[rows]) if rows.start == 0 else x[rows],), 12, MANY, model)
    out.sum().backward()
    assert float(model.weight.grad) == 4  # of the first four rows
    model.zero_grad()
    (out,) = by_rows(lambda rows: (x[rows],), 12, MANY, model)
    (out.sum() + 0 * x.sum()).backward()
    assert model.weight.grad is None


@pytest.mark.usefixtures("threads")
def test_rows_stay_together_where_the_model_reads_the_whole_batch():
    def parts(model):
        found = []
        by_rows(lambda rows: (model(x[rows]), found.append(rows))[:1], 12, MANY, model)
        return len(found)

    x, norm, batch_norm = torch.randn(12, 3), TokenNorm(3), nn.BatchNorm1d(3)
    assert parts(norm) == 1  # takes its statistics from the first batch
    assert parts(norm) == 3
    assert parts(batch_norm) == 1
    assert parts(batch_norm.eval()) == 3


@pytest.mark.usefixtures("threads")
def test_dropout_from_elsewhere_differs_from_step_to_step():
    dropout, x = nn.Dropout(0.5), torch.ones(12, 100)
    first, second = (by_rows(lambda rows: (dropout(x[rows]),), 12, MANY, dropout)[0] for _ in range(2))
    assert not torch.equal(first, second)
