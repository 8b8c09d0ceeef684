"""Attention of a causal model: exact, blind to what comes later, and rolled out to the tokens that each answer saw."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import perceiver_pytorch as P
from perceiver_pytorch.explain import causal
from perceiver_pytorch.explain.attention import each_latent, recorded
from perceiver_pytorch.nn.causal import CausalAttention


def model_of(**options):
    torch.manual_seed(0)
    sizes = {"max_length": 24, "num_latents": 5, "latent_dim": 8, "depth": 2, "heads": 2, "dim_head": 4}
    model = P.PerceiverAR(**sizes, cross_heads=2, cross_dim_head=4, num_cross_attends=2, **options).double().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model


def tokens(length, batch=2):
    return torch.randint(6, 262, (batch, length), generator=torch.Generator().manual_seed(length))


def padded(length, gone):
    mask = torch.ones(2, length, dtype=torch.bool)
    mask[0, :gone] = False
    return mask


@pytest.mark.parametrize("gone", [None, 3])
@pytest.mark.parametrize("length", [5, 12])
def test_recorded_weights_make_what_each_attention_gave(length, gone):
    model, made = model_of(), []

    def after(module, arguments, output):
        made.append((module, arguments[1], output))

    for module in model.modules():
        if isinstance(module, CausalAttention):
            module.register_forward_hook(after)
    with recorded(model) as record:
        model(tokens(length), None if gone is None else padded(length, gone))
    assert len(record.reads) == 2
    assert len(record.steps) == len(made) == 4
    for step, (module, context, output) in zip(record.steps, made, strict=True):
        weights = step.weights() if callable(step.weights) else step.weights.of()[0]
        value = module.to_kv(context).unflatten(-1, (2, module.heads, -1)).transpose(1, 3).unbind(2)[1]
        torch.testing.assert_close(module.to_out((weights @ value).transpose(1, 2).flatten(2)), output)


@settings(max_examples=15, deadline=None)
@given(length=st.integers(2, 20), gone=st.integers(0, 3))
def test_a_rollout_is_of_the_tokens_up_to_a_position_and_of_all_that_it_saw(length, gone):
    model, gone = model_of(), min(gone, length - 1)
    with recorded(model) as record:
        model(tokens(length), padded(length, gone))
    (found,) = record.rollout(each_latent(record).double())
    latents = min(5, length)
    assert found.shape == (2, latents, length)
    torch.testing.assert_close(found.sum(-1), torch.ones(2, latents).double())
    place, own = torch.arange(length), torch.arange(length - latents, length).unsqueeze(1)
    assert not found[:, place > own].any()
    assert (found[1][place <= own] > 0).all()
    real = own.squeeze(1) >= gone
    assert not found[0, real][:, :gone].any()


def test_a_rollout_is_the_product_of_the_dense_matrices():
    model = model_of()
    with recorded(model) as record:
        model(tokens(12))
    share = torch.eye(12).double()[-5:].expand(2, -1, -1)  # a latent is its own token
    for step in record.steps:
        if callable(step.weights):
            share = 0.5 * share + 0.5 * step.weights().mean(1) @ share
        else:
            share = 0.5 * share + 0.5 * step.weights.of()[0].mean(1)
    (found,) = record.rollout(each_latent(record).double())
    torch.testing.assert_close(found, share)
    (last,) = record.rollout(each_latent(record, [-1]).double())
    torch.testing.assert_close(last, share[:, -1:])


def test_some_latents_and_heads_are_those_of_all(monkeypatch):
    with recorded(model := model_of()) as record:
        model(tokens(12))
    (every,) = record.reads[0].of()
    (some,) = record.reads[0].of(latents=[1, 4], heads=[1])
    torch.testing.assert_close(some, every[:, [1]][:, :, [1, 4]])
    factors = torch.randn(2, 3, 2, 5).double()
    expected = torch.einsum("bohn,bhnt->bot", factors, every)
    for most in (1 << 21, 50):
        monkeypatch.setattr(causal, "MOST_AT_ONCE", most)
        torch.testing.assert_close(record.reads[0].summed(factors)[0], expected)


def test_what_a_model_does_not_read_in_one_call_is_refused():
    model = model_of()
    with pytest.raises(ValueError, match="cache"), recorded(model):
        model(tokens(6, 1), cache=model.new_cache())
    with pytest.raises(ValueError, match=r"model.eval\(\)"), recorded(model.train()):
        model(tokens(6))
