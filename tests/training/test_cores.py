import pytest
import torch
from torch import nn

from perceiver_pytorch import MultiModalityPerceiver
from perceiver_pytorch.modalities import InputModality
from perceiver_pytorch.training.cores import latent_multiply_adds, multiply_adds, shared_out


class Weights(nn.Module):
    """A model of so many weights, and an array of so many latents if there are any."""

    def __init__(self, weights=1000, latents=0):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.empty(1, weights, device="meta")), nn.Parameter(torch.empty(7))
        self.looked_up, self.summed = nn.Embedding(5, 3), nn.EmbeddingBag(5, 3)
        if latents:
            self.latents = nn.Parameter(torch.empty(latents, 1))


@pytest.mark.parametrize(
    ("rows", "tokens", "threads"),
    [
        (7, 1 << 15, 1),
        (8, 1 << 15, 2),
        (64, 4000, 1),
        (64, 5000, 2),
        (64, 1 << 17, 3),
        (64, 1 << 20, 10),
        (8, 1 << 20, 4),
    ],
)
def test_a_thread_has_rows_enough_and_does_not_wait_long_for_the_others(rows, tokens, threads):
    assert shared_out(64, rows, tokens, Weights())[0] == threads


@pytest.mark.parametrize("cores", [1, 2, 3])
def test_there_are_no_more_threads_than_cores(cores):
    assert shared_out(cores, 64, 1 << 20, Weights()) == (cores, 1)


def test_a_large_model_needs_few_rows():
    large = Weights(1 << 20, latents=1024)
    assert shared_out(2, 64, 100, Weights(1 << 20, latents=1)) == (1, 1)
    assert shared_out(2, 4, 100, large) == (2, 1)
    assert shared_out(16, 3, 100, large) == (3, 1)
    assert shared_out(16, 3, 100, Weights(1 << 30, latents=1024)) == (3, 5)


def test_one_row_of_much_work_has_all_cores():
    assert shared_out(8, 1, 1 << 22, Weights()) == (1, 8)
    assert shared_out(8, 1, 1 << 20, Weights()) == (1, 2)


def test_rows_that_stay_together_have_the_cores():
    assert shared_out(4, 64, 1 << 22, Weights(), together=True) == (1, 4)
    assert shared_out(4, 64, 1 << 16, Weights(), together=True) == (1, 1)


def test_latents_meet_all_weights_that_are_not_looked_up():
    for latents, places in ((3, 5 * 3), (0, 100)):
        less, more = (multiply_adds(5, 100, Weights(weights, latents)) for weights in (1, 11))
        assert more - less == places * 10


def test_latents_of_models_are_found():
    def counted(depth):
        modality = InputModality("x", 3, 1, 2, 4.0)
        model = MultiModalityPerceiver(modalities=[modality], depth=depth, num_latents=9, latent_dim=8, num_classes=2)
        weights = sum(p.numel() for p in model.parameters() if p.dim() > 1)
        return multiply_adds(2, 0, nn.ModuleList([model])) / weights

    assert counted(1) == counted(2) == 2 * 9


@pytest.mark.parametrize("latents", [3, True, None, [None], "abc", torch.tensor(1.0)])
def test_other_attributes_of_that_name_are_no_latents(latents):
    model = nn.Linear(2, 5)
    model.latents = latents
    assert multiply_adds(2, 10, model) == multiply_adds(2, 10, nn.Linear(2, 5))


def test_weights_that_are_not_there_yet_do_not_count():
    assert multiply_adds(2, 10, nn.LazyLinear(3)) == multiply_adds(2, 10, nn.Identity())


def test_of_a_row_each_latent_goes_through_each_weight():
    assert latent_multiply_adds(Weights(1000, latents=16)) == 16_256  # the latents themselves count, too
    assert latent_multiply_adds(Weights(1000)) == 0
    model = Weights(1000)
    model.num_latents = 5  # they are positions of the input, as in a PerceiverAR
    assert latent_multiply_adds(model) == 5000
