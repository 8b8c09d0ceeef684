"""Perceiver AR: its mathematics against an independent float64 computation, causality, caches, windows, padding."""

import cmath
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perceiver_pytorch import PerceiverAR
from perceiver_pytorch.models.text.generation import Windows
from test_contracts import compare

SMALL = {
    "vocab_size": 32,
    "max_length": 24,
    "num_latents": 8,
    "latent_dim": 16,
    "depth": 2,
    "heads": 2,
    "dim_head": 8,
    "cross_heads": 4,
    "cross_dim_head": 4,
}


def build(**changes):
    torch.manual_seed(0)
    model = PerceiverAR(**{**SMALL, **changes}).double().eval()
    with torch.no_grad():  # weights large enough for logits to differ
        model.embedding.weight.mul_(30)
        for name, parameter in model.named_parameters():
            if "norm" in name or name.endswith("bias"):
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def tokens(*shape, seed=1):
    return torch.randint(6, 32, shape, generator=torch.Generator().manual_seed(seed))


# The reference: numpy, one query and one head at a time, rotary positions as complex numbers.


def array(parameter):
    return parameter.detach().double().numpy()


def normed(norm, x):
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(var + 1e-5) * array(norm.weight) + array(norm.bias)


def turned(vector, position, channels, base=10_000.0):
    out = vector.copy()
    for i in range(channels // 2):
        angle = position * base ** (-2 * i / channels)
        pair = complex(vector[2 * i], vector[2 * i + 1]) * cmath.exp(1j * angle)
        out[2 * i], out[2 * i + 1] = pair.real, pair.imag
    return out


def attended(layer, x, context, places, context_places, channels, seen=None):
    attention = layer.attention
    heads = attention.heads
    inner = normed(layer.norm, x)
    read = inner if layer.norm_context is None else normed(layer.norm_context, context)
    queries = inner @ array(attention.to_q.weight).T
    keys, values = np.split(read @ array(attention.to_kv.weight).T, 2, axis=1)
    size = queries.shape[1] // heads
    rows = []
    for n, place in enumerate(places):
        parts = []
        for head in range(heads):
            own = slice(head * size, (head + 1) * size)
            query = turned(queries[n, own], place, channels)
            visible = [m for m, other in enumerate(context_places) if other <= place and (seen is None or m in seen)]
            scores = np.array(
                [query @ turned(keys[m, own], context_places[m], channels) / math.sqrt(size) for m in visible]
            )
            weights = np.exp(scores - scores.max())
            parts.append((weights / weights.sum()) @ values[visible, own])
        rows.append(np.concatenate(parts))
    x = x + np.stack(rows) @ array(attention.to_out.weight).T + array(attention.to_out.bias)
    first, _, _, last = layer.feed_forward.fn.net
    inner = normed(layer.feed_forward.norm, x) @ array(first.weight).T + array(first.bias)
    inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
    return x + inner @ array(last.weight).T + array(last.bias)


def reference(model, ids, latents):
    embedded = array(model.embedding.weight)[ids]
    places = list(range(len(ids)))
    x = embedded[-latents:]
    for layer in model.cross_attends:
        x = attended(layer, x, embedded, places[-latents:], places, model.cross_rotary_channels)
    for layer in model.latent_layers:
        x = attended(layer, x, x, places[-latents:], places[-latents:], model.rotary_channels)
    return normed(model.norm, x) @ array(model.to_logits.weight).T + array(model.to_logits.bias)


@pytest.mark.parametrize("length", [1, 5, 8, 9, 24])
@pytest.mark.parametrize("changes", [{}, {"num_cross_attends": 2, "rotary_fraction": 1.0, "tie_embeddings": False}])
def test_logits_are_those_of_a_dense_computation(length, changes):
    model = build(**changes)
    ids = tokens(2, length)
    logits = model(ids)
    latents = min(8, length)
    assert logits.shape == (2, latents, 32)
    for row, sample in zip(logits, ids, strict=True):
        expected = reference(model, sample.numpy(), latents)
        torch.testing.assert_close(row.detach().numpy(), expected, rtol=1e-6, atol=1e-6)


@given(st.integers(1, 24), st.data())
@settings(max_examples=30, deadline=None)
def test_changing_a_token_changes_no_logits_before_it(length, data):
    model = build()
    place = data.draw(st.integers(0, length - 1))
    ids = tokens(1, length)
    changed = ids.clone()
    changed[0, place] = 5
    before, after = model(ids), model(changed)
    differs = (before != after).flatten(0, 1).any(-1)
    first = max(0, place - (length - before.shape[1]))  # the latent at the token's place, or the first one
    assert not differs[:first].any()
    assert differs[first:].all()


def test_where_a_text_stands_does_not_matter():
    """Rotary positions are relative: hiding what comes before is the same as its not being there."""
    model = build()
    ids = tokens(1, 24)
    mask = torch.arange(24)[None] >= 9
    torch.testing.assert_close(model(ids, mask), model(ids[:, 9:]), rtol=1e-6, atol=1e-6)


def test_positions_matter():
    model = build()
    ids = tokens(1, 24)
    swapped = ids.clone()
    swapped[0, [2, 7]] = ids[0, [7, 2]]
    assert (model(ids) - model(swapped)).abs().max() > 1e-3
    blind = build(rotary_fraction=0.0)
    torch.testing.assert_close(blind(ids), blind(swapped))


@pytest.mark.parametrize("lengths", [(3, 5, 8), (8, 24, 12), (1, 24)])
def test_padding_on_the_left_changes_nothing(lengths):
    model = build()
    longest = max(lengths)
    ids = torch.zeros(len(lengths), longest, dtype=torch.int64)
    mask = torch.zeros(len(lengths), longest, dtype=torch.bool)
    for i, length in enumerate(lengths):
        ids[i, longest - length :] = tokens(1, length, seed=i)[0]
        mask[i, longest - length :] = True
    logits = model(ids, mask)
    assert torch.isfinite(logits).all()
    for i, length in enumerate(lengths):
        alone = model(ids[i : i + 1, longest - length :])[0]
        torch.testing.assert_close(logits[i, -len(alone) :], alone, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("chunks", [(12, 1, 1, 1, 1), (18, 2, 3, 1), (2, 6)])
@pytest.mark.parametrize("padded", [False, True])
def test_cached_logits_are_those_without_a_cache(chunks, padded):
    model = build(num_cross_attends=2)
    ids = tokens(2, sum(chunks))
    mask = torch.arange(sum(chunks)).expand(2, -1) >= torch.tensor([[0], [1]]) if padded else None
    cache = model.new_cache()
    first = 2
    got, place = [], 0
    for i, chunk in enumerate(chunks):
        part = slice(place, place + chunk)
        wanted = first if i == 0 else None
        got.append(model(ids[:, part], None if mask is None else mask[:, part], num_latents=wanted, cache=cache))
        place += chunk
    latents = first + sum(chunks[1:])
    expected = model(ids, mask, num_latents=latents)
    torch.testing.assert_close(torch.cat(got, 1), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("window_latents", [None, 1, 8])
@pytest.mark.parametrize("length", [1, 40, *(pytest.param(length, marks=pytest.mark.nightly) for length in (3, 20))])
def test_generation_goes_on_beyond_the_windows_the_same_with_and_without_cache(length, window_latents):
    """60 tokens after the prompt: latents run out many times and the context exceeds max_length."""
    model = build().float()
    ids = tokens(2, length)
    cached = Windows(model, ids, None, window_latents, use_cache=True)
    plain = Windows(model, ids, None, window_latents, use_cache=False)
    fresh = model.num_latents // 2 if window_latents is None else window_latents
    everything, latents = ids, model.num_latents
    with torch.no_grad():
        for _ in range(60):
            logits = cached.next_logits()
            torch.testing.assert_close(logits, plain.next_logits(), rtol=1e-5, atol=1e-5)
            # The documented rule, once more: what a window holds, and how many latents it has.
            if latents == model.num_latents:
                latents, start = fresh, max(0, everything.shape[1] - (model.max_length - model.num_latents + fresh))
            else:
                latents += 1
            window = everything[:, start:]
            assert window.shape[1] <= model.max_length
            expected = model(window, num_latents=min(latents, window.shape[1]))[:, -1]
            torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
            token = logits.argmax(-1)
            cached.append(token)
            plain.append(token)
            everything = torch.cat((everything, token[:, None]), 1)


def test_prompts_of_different_lengths_continue_as_they_do_alone():
    model = build()
    prompts = [tokens(length, seed=length) for length in (1, 3, 17, 40)]
    ids = torch.zeros(4, 40, dtype=torch.int64)
    mask = torch.zeros(4, 40, dtype=torch.bool)
    for i, prompt in enumerate(prompts):
        ids[i, 40 - len(prompt) :] = prompt
        mask[i, 40 - len(prompt) :] = True
    together = model.generate(ids, 30, mask=mask, temperature=0)
    for row, prompt in zip(together, prompts, strict=True):
        assert torch.equal(row, model.generate(prompt[None], 30, temperature=0)[0])


def test_a_seed_gives_the_same_tokens_and_the_model_its_mode_back():
    model = build().train()
    ids = tokens(3, 5)
    first = model.generate(ids, 12, seed=3, top_k=5, top_p=0.9)
    assert model.training
    assert first.shape == (3, 12)
    assert torch.equal(first, model.generate(ids, 12, generator=torch.Generator().manual_seed(3), top_k=5, top_p=0.9))
    assert torch.equal(first, model.generate(ids, 12, seed=3, top_k=5, top_p=0.9, use_cache=False))
    assert not torch.equal(first, model.generate(ids, 12, seed=4, top_k=5, top_p=0.9))


def test_a_stop_token_ends_a_sample_and_padding_follows():
    model = build()
    ids = tokens(2, 5)
    free = model.generate(ids, 20, temperature=0)
    stop = int(free[0, 3])
    ended = model.generate(ids, 20, temperature=0, stop_token=stop)
    for row, whole in zip(ended, free, strict=True):
        places = (whole == stop).nonzero().flatten().tolist()
        end = min([place + 1 for place in places] or [len(row)])
        assert torch.equal(row[:end], whole[:end])
        assert (row[end:] == 0).all()
    assert ended.shape[1] < 20 or not (free[1] == stop).any()


def test_prefix_dropout_hides_positions_before_the_latents_only_in_training():
    model = build(prefix_dropout=0.5)
    ids = tokens(1, 24)
    shown = model(ids)
    assert torch.equal(shown, model(ids))
    model.train()
    assert not torch.equal(model(ids), model(ids))
    torch.testing.assert_close(model(ids[:, -8:]), model(ids[:, -8:]))  # no prefix
    kept = model._kept(ids.expand(50, -1), 8)
    assert kept.shape == (50, 8 + 8)
    assert (kept[:, -8:] == torch.arange(16, 24)).all()
    assert (kept.diff(dim=1) > 0).all()
    assert len({tuple(row.tolist()) for row in kept}) > 40
    counts = kept[:, :8].flatten().bincount(minlength=16)
    assert (counts > 10).all()


def test_prefix_dropout_is_a_mask_of_the_cross_attend(monkeypatch):
    model = build(prefix_dropout=0.25).train()
    ids = tokens(1, 24)
    kept = model._kept(ids, 8)
    monkeypatch.setattr(model, "_kept", lambda *_: kept)
    embedded = array(model.embedding.weight)[ids[0].numpy()]
    places = list(range(24))
    x = attended(
        model.cross_attends[0],
        embedded[-8:],
        embedded,
        places[-8:],
        places,
        model.cross_rotary_channels,
        set(kept[0].tolist()),
    )
    for layer in model.latent_layers:
        x = attended(layer, x, x, places[-8:], places[-8:], model.rotary_channels)
    expected = normed(model.norm, x) @ array(model.to_logits.weight).T + array(model.to_logits.bias)
    torch.testing.assert_close(model(ids)[0].detach().numpy(), expected, rtol=1e-6, atol=1e-6)


def test_the_loss_is_over_the_latents_next_tokens():
    model = build()
    ids = tokens(2, 25)
    logits = model(ids[:, :-1])
    expected = -logits.log_softmax(-1).gather(-1, ids[:, -8:, None]).mean()
    torch.testing.assert_close(model.loss(ids), expected)
    mask = torch.ones_like(ids, dtype=torch.bool)
    mask[0, :20] = False
    expected = -logits.log_softmax(-1)[1].gather(-1, ids[1, -8:, None])
    alone = -model(ids[:1, 20:-1]).log_softmax(-1).gather(-1, ids[:1, 21:, None])
    torch.testing.assert_close(model.loss(ids, mask), torch.cat((expected, alone[0])).mean())


def test_embeddings_are_tied_unless_asked():
    tied, free = build(), build(tie_embeddings=False)
    assert tied.to_logits.weight.data_ptr() == tied.embedding.weight.data_ptr()
    assert sum(p.numel() for p in free.parameters()) - sum(p.numel() for p in tied.parameters()) == 32 * 16


def test_keys_and_shapes_of_the_weights():
    lines = [f"{key} {tuple(value.shape)}" for key, value in build().state_dict().items()]
    compare("state_dict_PerceiverAR.txt", "\n".join(lines) + "\n")


def test_a_saved_model_is_the_same_model(tmp_path):
    model = build().float()
    model.save_pretrained(tmp_path)
    again = PerceiverAR.from_pretrained(tmp_path)
    assert again.num_latents == 8
    assert torch.equal(model(tokens(1, 24)), again(tokens(1, 24)))
    assert again.to_logits.weight.data_ptr() == again.embedding.weight.data_ptr()


@pytest.mark.nightly
def test_it_learns_to_copy_what_stands_far_before_the_latents():
    """The second half of each sample repeats its first: only the prefix can tell."""
    torch.manual_seed(0)
    model = PerceiverAR(**{**SMALL, "vocab_size": 8, "num_latents": 8, "max_length": 16, "latent_dim": 32})
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(250):
        half = torch.randint(0, 8, (32, 8))
        loss = model.loss(torch.cat((half, half), 1), num_latents=7)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.7 < math.log(8)


@pytest.mark.parametrize("dtype", [torch.bfloat16])
def test_autocast_gives_about_the_same(dtype):
    model = build().float()
    ids = tokens(2, 24)
    with torch.autocast("cpu", dtype):
        logits = model(ids)
        assert model.generate(ids, 10, temperature=0).shape == (2, 10)
    assert (logits.float() - model(ids)).abs().max() < 0.1 * model(ids).abs().max()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: PerceiverAR(num_latents=9, max_length=8), r"num_latents \(9\) must not exceed max_length \(8\)"),
        (lambda m: PerceiverAR(depth=0), "depth must be at least 1"),
        (lambda m: PerceiverAR(dim_head=1, rotary_fraction=0.5), "dim_head must be larger for rotary_fraction"),
        (lambda m: PerceiverAR(activation="relu"), "activation must be one of 'geglu', 'gelu'"),
        (lambda m: m(torch.zeros(1, 4)), "tokens must hold integer token ids, got torch.float32"),
        (lambda m: m(torch.zeros(4, dtype=torch.int64)), r"tokens must be token ids \(batch, length\)"),
        (lambda m: m(tokens(1, 25)), "tokens must be at most 24 long"),
        (lambda m: m(tokens(1, 4) + 40), r"tokens must lie in \[0, 32\)"),
        (lambda m: m(tokens(1, 4), torch.ones(1, 5, dtype=torch.bool)), r"mask must be \(1, 4\)"),
        (lambda m: m(tokens(1, 4), num_latents=5), "num_latents must be at most 4"),
        (lambda m: m.generate(tokens(1, 4), 0), "max_new_tokens must be at least 1"),
        (lambda m: m.generate(tokens(1, 0), 1), "prompt must be token ids"),
        (lambda m: m.generate(tokens(1, 4), 1, temperature=-1), "temperature must be at least 0"),
        (lambda m: m.generate(tokens(1, 4), 1, top_p=0), r"top_p must lie in \(0, 1\]"),
        (lambda m: m.generate(tokens(1, 4), 1, top_k=0), "top_k must be at least 1"),
        (lambda m: m.generate(tokens(1, 4), 1, stop_token=99), r"stop_token must lie in \[0, 32\)"),
        (lambda m: m.generate(tokens(1, 4), 1, seed=1, generator=torch.Generator()), "not both"),
        (lambda m: m.generate(tokens(1, 4), 1, seed="a"), "seed must be an integer of at least 0, got 'a'"),
        (lambda m: m.generate(tokens(1, 4), 1, seed=1 << 70), r"seed must be less than 2\^32"),
        (lambda m: m.loss(tokens(1, 1)), r"tokens must be \(batch, 2 or more\), each predicts the next, got \(1, 1\)"),
        (lambda m: m.generate(tokens(1, 4), 1, window_latents=9), "window_latents must be at most num_latents, 8"),
        (lambda m: m.generate(tokens(1, 2), 1, mask=torch.tensor([[True, False]])), "pad shorter prompts on the left"),
    ],
)
def test_wrong_calls_say_what_is_wrong(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call(build())


def test_a_full_cache_says_so():
    model = build()
    cache = model.new_cache()
    model(tokens(1, 8), cache=cache)
    with pytest.raises(ValueError, match="room for 0"):
        model(tokens(1, 1), cache=cache)


def test_a_training_step_keeps_nothing_of_the_size_of_the_scores():
    model = build(max_length=2048, num_latents=64, cross_heads=8).float()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        model(tokens(1, 2048)).sum().backward()
    assert max(tensor.numel() for tensor in kept) < 8 * 64 * 2048 / 4
