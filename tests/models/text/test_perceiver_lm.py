"""The masked language model: against an independent computation, its sizes, masks, filling and saving."""

import math

import pytest
import torch

from perceiver_pytorch import PerceiverLM
from perceiver_pytorch.models.text.byte_tokenizer import MASK, ByteTokenizer
from test_contracts import compare

SMALL = {
    "max_length": 20,
    "embedding_dim": 12,
    "num_latents": 3,
    "latent_dim": 16,
    "depth": 2,
    "heads": 4,
    "cross_heads": 2,
    "decoder_heads": 3,
    "qk_dim": 24,
    "v_dim": 8,
}


def build(**changes):
    torch.manual_seed(0)
    model = PerceiverLM(**{**SMALL, **changes}).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def tokens(*shape):
    return torch.randint(6, 262, shape, generator=torch.Generator().manual_seed(1))


def norm(layer, x):
    return torch.nn.functional.layer_norm(x, x.shape[-1:], layer.weight, layer.bias, 1e-5)


def block(part, x, context, seen, residual):
    """One sample, one head after another, everything formed."""
    inner = norm(part.norm, x)
    read = inner if context is None else norm(part.norm_context, context)
    query, key, value = part.to_q(inner), part.to_k(read), part.to_v(read)
    outs = []
    for q, k, v in zip(*(t.chunk(part.heads, dim=-1) for t in (query, key, value)), strict=True):
        scores = q @ k.T / math.sqrt(q.shape[-1])
        if seen is not None:
            scores = scores.masked_fill(~seen, -math.inf)
        outs.append(scores.softmax(-1) @ v)
    out = part.to_out(torch.cat(outs, -1))
    x = x + out if residual else out
    first, _, _, last = part.feed_forward
    return x + last(torch.nn.functional.gelu(first(norm(part.feed_forward_norm, x))))


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_logits_are_those_of_a_dense_computation(padded, tied):
    model = build(weight_tie_layers=tied)
    assert len(model.latent_blocks) == (1 if tied else 2)
    ids = tokens(2, 14)
    mask = torch.arange(14) < torch.tensor([[14], [6]]) if padded else None
    logits = model(ids, mask)
    assert logits.shape == (2, 14, 262)
    for i in range(2):
        x = model.embedding.weight[ids[i]] + model.positions.weight[:14]
        latents = block(model.cross_attend, model.latents, x, None if mask is None else mask[i], True)
        for part in (list(model.latent_blocks) * 2)[:2]:
            latents = block(part, latents, None, None, True)
        out = block(model.decoder, model.queries[:14], latents, None, False)
        expected = out @ model.embedding.weight.T + model.bias
        torch.testing.assert_close(logits[i], expected, rtol=1e-6, atol=1e-6)


def test_the_defaults_are_the_published_models_sizes():
    with torch.device("meta"):
        model = PerceiverLM()
    assert sum(p.numel() for p in model.parameters()) == 201_108_230


def test_what_padding_holds_does_not_matter():
    model = build()
    ids = tokens(1, 14)
    mask = torch.arange(14)[None] < 9
    other = torch.where(mask, ids, 7)
    assert torch.equal(model(ids, mask), model(other, mask))
    torch.testing.assert_close(model(ids, mask)[:, :9], model(ids[:, :9]))


def test_chosen_positions_have_the_logits_that_all_have():
    model = build()
    ids, chosen = tokens(2, 14), torch.tensor([[3, 0, 13], [5, 5, 1]])
    everywhere = model(ids)
    expected = torch.stack([everywhere[i, chosen[i]] for i in range(2)])
    torch.testing.assert_close(model(ids, positions=chosen), expected)


def test_things_near_one_another_attend_to_one_another_from_the_start():
    """Of a fresh model, the latent in the middle reads the middle of the text, and a query the latents there."""
    torch.manual_seed(0)
    model = PerceiverLM(max_length=32, embedding_dim=64, num_latents=16, latent_dim=64, depth=1, qk_dim=64, v_dim=64)
    for part, asks, read in (
        (model.cross_attend, model.latents, model.positions.weight),
        (model.decoder, model.queries, model.latents),
    ):
        query, key = part.to_q(norm(part.norm, asks)), part.to_k(norm(part.norm_context, read))
        weights = (query @ key.T / math.sqrt(query.shape[-1] / part.heads)).softmax(-1)
        centre = (weights * torch.linspace(0, 1, len(read))).sum(-1)
        assert torch.corrcoef(torch.stack([centre, torch.linspace(0, 1, len(asks))]))[0, 1] > 0.95
        assert torch.equal(part.to_q.weight, part.to_k.weight)


def test_filling_replaces_gaps_by_bytes_and_nothing_else():
    model = build()
    ids, _ = ByteTokenizer().batch(["ab[MASK]d[MASK]", "ab[MASK]"], specials=True)
    filled = model.fill(ids)
    gaps = ids == MASK
    assert (filled[gaps] >= 6).all()
    assert torch.equal(filled[~gaps], ids[~gaps])
    alone = model.fill(ids[:1])
    assert torch.equal(alone[0], filled[0])


def test_the_surest_gap_is_filled_first():
    model = build()
    ids = tokens(1, 10)
    ids[0, [2, 6]] = MASK
    chances, best = model(ids)[0, [2, 6], 6:].softmax(-1).max(-1)
    first = int(chances.argmax())
    place, other = ((2, 6), (6, 2))[first]
    step = ids.clone()
    step[0, place] = 6 + best[first]
    step[0, other] = 6 + model(step)[0, other, 6:].argmax()
    assert torch.equal(model.fill(ids), step)


def test_keys_and_shapes_of_the_weights():
    lines = [f"{key} {tuple(value.shape)}" for key, value in build().state_dict().items()]
    compare("state_dict_PerceiverLM.txt", "\n".join(lines) + "\n")


def test_a_saved_model_is_the_same_model(tmp_path):
    model = build().float()
    model.save_pretrained(tmp_path)
    again = PerceiverLM.from_pretrained(tmp_path)
    assert torch.equal(model(tokens(2, 7)), again(tokens(2, 7)))


def test_every_parameter_has_a_gradient_and_autocast_works():
    model = build().float().train()
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(tokens(2, 20))
    assert (logits.float() - model(tokens(2, 20))).abs().max() < 0.1 * logits.abs().max()
    logits.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m(tokens(1, 21)), "tokens must be at most 20 long"),
        (lambda m: m(tokens(1, 4).float()), "tokens must hold integer token ids"),
        (lambda m: m(tokens(1, 4) + 300), r"tokens must lie in \[0, 262\)"),
        (lambda m: m(tokens(1, 4), torch.ones(1, 3, dtype=torch.bool)), r"mask must be \(1, 4\)"),
        (lambda m: m(tokens(1, 4), positions=torch.tensor([[4]])), r"positions must lie in \[0, 4\), got 4 to 4"),
        (
            lambda m: m(tokens(2, 4), positions=torch.tensor([[0]])),
            r"positions must be \(batch=2, number\), got \(1, 1\)",
        ),
        (lambda m: m(tokens(1, 4), positions=torch.tensor([[0.0]])), "positions must be int64"),
        (lambda m: m.fill("some [MASK]"), "tokens must be a torch.Tensor, got str"),
        (lambda m: PerceiverLM(qk_dim=20, heads=8), "heads must divide qk_dim"),
        (lambda m: PerceiverLM(depth=0), "depth must be at least 1"),
    ],
)
def test_wrong_calls_say_what_is_wrong(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call(build())
