"""Recorded attention makes what the model's own cross-attends gave, and a rollout is what dense matrices give."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import perceiver_pytorch as P
from perceiver_pytorch.explain.attention import Mark, Mix, decoded, pooled, recorded
from perceiver_pytorch.nn.attention import Attention
from perceiver_pytorch.nn.block import AttentionBlock
from perceiver_pytorch.nn.cross_attend import CrossAttend
from perceiver_pytorch.nn.stems import ConvolutionStem
from perceiver_pytorch.nn.tokens import dense
from perceiver_pytorch.ops import Context
from small_models import CLASSES, blended, build, image, inputs, multi_task, perceiver_io, text, words

STEM = {"channels": 5, "kernel": [3, 3], "stride": [2, 2]}


def split_text():
    return build("MultiModalityWithTextPerceiver", modalities=[image(), text(split_embedding=True)])


def stemmed():
    stem = ConvolutionStem(input_channels=3, layers=[STEM])
    return build("MultiModalityWithTextPerceiver", modalities=[image(stem=stem), text()])


def tied():
    return build("MultiModalityPerceiver", weight_tie_layers=True, depth=3, cross_heads=2)


def paper():
    return build("MultiModalityPerceiver", style="paper")


MODELS = {name: lambda name=name: build(name) for name in CLASSES} | {
    "split": split_text, "stem": stemmed, "tied": tied, "paper": paper, "tasks": multi_task, "blended": blended,
    "io": lambda: perceiver_io(outputs=[P.Output("label", P.LearnedQueries(6), 10)], depth=2, cross_heads=2),
}  # fmt: skip


def case(name):
    """A model in float64, its inputs, and a mask by which a row lacks tokens."""
    model = MODELS[name]().double().eval()
    key = {"split": "WithText", "stem": "WithText", "tasks": "WithText", "blended": "WithText"}.get(name, name)
    given = inputs(key)
    if not isinstance(given, dict):
        return model, given.double(), None
    given = {k: v.double() if v.is_floating_point() else v for k, v in given.items()}
    mask = {"image": torch.rand(2, 5, 4) < 0.6}
    mask["image"][:, 0, 0] = True
    return model, given, mask


def read(model, given, mask):
    return model(given, mask) if isinstance(given, dict) else model(given)


def outputs_of_cross_attends(model):
    """A list to which each cross-attend's module, input and what it made are appended, beside hooks of others."""
    found = []

    def after(module, arguments, options, output):
        context = options.get("context", arguments[1] if len(arguments) > 1 else None)
        if context is not None and not isinstance(context, torch.Tensor):
            found.append((module, arguments[0], context, output))

    for module in model.modules():
        if isinstance(module, CrossAttend | AttentionBlock):
            module.register_forward_hook(after, with_kwargs=True)
    return found


def remade(module, x, context, weights):
    """What a cross-attend makes of weights ``(batch, heads, latents, tokens)``."""
    tokens = module.norm_context(dense(context, torch.float64))
    if isinstance(module, CrossAttend):
        value = module.fn.to_kv(tokens).chunk(2, -1)[1].unflatten(-1, (weights.shape[1], -1)).transpose(1, 2)
        return module.fn.to_out((weights @ value).transpose(1, 2).flatten(2))
    value = module.to_v(tokens).unflatten(-1, (weights.shape[1], -1)).transpose(1, 2)
    x = x + module.to_out((weights @ value).transpose(1, 2).flatten(2))
    return x + module.feed_forward(module.feed_forward_norm(x))


@pytest.mark.parametrize("name", MODELS)
def test_recorded_weights_make_what_the_model_reads(name):
    model, given, mask = case(name)
    seen = outputs_of_cross_attends(model)
    with recorded(model) as record:
        read(model, given, mask)
    assert len(record.reads) == len(seen) >= 1
    for weights, (module, x, context, output) in zip(record.reads, seen, strict=True):
        flat = torch.cat([part.flatten(3) for part in weights.of()], -1)
        torch.testing.assert_close(flat.sum(-1), torch.ones_like(flat[..., 0]), rtol=1e-9, atol=0)
        torch.testing.assert_close(remade(module, x, context, flat), output, rtol=1e-6, atol=1e-7)


def dense_rollout(record, outputs):
    """From the first step to the last, with whole matrices: a row per latent, a column per token of any layer."""
    share, kept = None, []
    for step in record.steps:
        if isinstance(step, Mark):
            if step.begins:
                kept.append(share)
            elif step.ends:
                share = 0.5 * share + 0.5 * kept.pop()
            else:
                share = 0.5 * share
        elif isinstance(step, Mix):
            share = 0.5 * share + 0.5 * step.weights().mean(1) @ share
        elif not step.to_latents:
            new = torch.cat([part.mean(1).flatten(2) for part in step.weights.of()], -1)
            if share is not None:
                share = share[:, : new.shape[1]]  # later layers of the hierarchical form may have fewer latents
            share = 0.5 * new if share is None else 0.5 * share + 0.5 * new
    return outputs @ share


@pytest.mark.parametrize("name", MODELS)
def test_a_rollout_is_the_product_of_the_dense_matrices(name):
    model, given, mask = case(name)
    with recorded(model) as record:
        read(model, given, mask)
    outputs = decoded(record) if name == "io" else pooled(record, 2 if name == "tasks" else 1).double()
    found = torch.cat([part.flatten(2) for part in record.rollout(outputs)], -1)
    torch.testing.assert_close(found, dense_rollout(record, outputs), rtol=1e-9, atol=1e-12)
    assert (found >= 0).all()
    assert ((found.sum(-1) > 0.3) & (found.sum(-1) < 1)).all()
    if mask is not None:
        place = sorted(given).index("image")
        pixels = record.rollout(outputs)[place]
        gone = ~mask["image"] if name != "stem" else torch.zeros(pixels.shape[0], *pixels.shape[2:], dtype=torch.bool)
        assert not pixels.transpose(0, 1)[:, gone].any()


def test_a_rollout_is_per_output_of_a_perceiver_io():
    model = perceiver_io().eval()
    with recorded(model) as record:
        model({"image": torch.rand(2, 5, 4, 3), "audio": torch.randn(2, 11, 1)}, outputs=["label", "map"])
    shares = decoded(record)
    assert shares.shape == (2, 13, 4)  # one query, and twelve of the map
    assert [part.shape for part in record.rollout(shares)] == [(2, 13, 11), (2, 13, 5, 4)]
    with recorded(model) as record:
        model({"image": torch.rand(2, 5, 4, 3)}, return_embeddings=True)
    with pytest.raises(ValueError, match="no output"):
        decoded(record)


def test_latents_that_compete_share_out_every_token():
    model = perceiver_io(inverted_cross_attend=True, outputs=[]).double().eval()
    given = {"image": torch.rand(2, 5, 4, 3).double(), "audio": torch.randn(2, 11, 1).double()}
    seen = outputs_of_cross_attends(model)
    with recorded(model) as record:
        model(given)
    flat = torch.cat([part.flatten(3) for part in record.reads[0].of()], -1)
    torch.testing.assert_close(remade(*seen[0][:3], flat), seen[0][3], rtol=1e-6, atol=1e-7)
    with pytest.raises(ValueError, match="compete"):
        record.reads[0].of(latents=[0])


def test_a_language_models_attention_is_recorded():
    model = P.PerceiverLM(
        max_length=16, num_latents=4, latent_dim=8, embedding_dim=8, depth=2, heads=2, cross_heads=2, decoder_heads=2,
        qk_dim=8, v_dim=8,
    ).eval()  # fmt: skip
    with recorded(model) as record:
        model(torch.randint(6, 262, (1, 10)))
    assert len(record.reads) == 1
    assert len(record.decodes) == 1
    (found,) = record.rollout(decoded(record))
    assert found.shape == (1, 10, 10)


def test_projections_that_others_follow_give_the_same_weights():
    model = build("MultiModalityWithTextPerceiver").eval()
    given = inputs("WithText")
    with recorded(model) as plain:
        model(given)
    for module in model.modules():
        if isinstance(module, Attention):
            module.to_kv.register_forward_hook(lambda *_: None)
    with recorded(model) as followed:
        model(given)
    for a, b in zip(plain.reads, followed.reads, strict=True):
        for one, other in zip(a.of(), b.of(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_no_hook_stays_and_no_cross_attend_is_told():
    model = build("MultiModalityPerceiver")
    with recorded(model) as record:
        model(inputs("MultiModalityPerceiver"))
    steps = len(record.steps)
    model(inputs("MultiModalityPerceiver"))
    assert len(record.steps) == steps
    with pytest.raises(ValueError, match="no attention is recorded"), recorded(nn.Linear(2, 2)):
        pass


def test_a_dense_context_is_read_too():
    torch.manual_seed(0)
    read = CrossAttend(8, 5, heads=2, dim_head=4)
    x, tokens = torch.randn(1, 3, 8), torch.randn(1, 6, 5)
    with recorded(read) as record:
        read(x, tokens)
    key = read.fn.to_kv(read.norm_context(tokens)).chunk(2, -1)[0].unflatten(-1, (2, -1)).transpose(1, 2)
    query = read.fn.to_q(read.norm(x)).unflatten(-1, (2, -1)).transpose(1, 2)
    expected = F.softmax(query @ key.mT / 2, -1)
    torch.testing.assert_close(record.reads[0].of()[0], expected, rtol=1e-5, atol=1e-6)
    assert isinstance(record.reads[0].contexts[0], Context)


def test_words_are_tokens_of_their_own():
    model = build("MultiModalityWithTextPerceiver").eval()
    with recorded(model) as record:
        model({"text": words(1, 5)})
    assert record.reads[0].of()[0].shape == (1, 1, 4, 5)
