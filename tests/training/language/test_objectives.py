"""Bits per byte: what the windows give is what one long look gives, and the losses hide what they should."""

import math

import numpy as np
import pytest
import torch

from perceiver_pytorch._settings import read_settings
from perceiver_pytorch.models.text.byte_tokenizer import MASK
from perceiver_pytorch.training.language.objectives import CausalObjective, MaskedObjective, bits_per_byte, objective_of
from perceiver_pytorch.training.language.settings import LanguageConfig, language_preset

TINY = {"num_latents": 8, "latent_dim": 16, "embedding_dim": 16, "depth": 1, "heads": 2, "cross_heads": 2}


def setup(objective, context=32, **training):
    config = read_settings(
        LanguageConfig,
        {"objective": objective, "data": {"context": context}, "model": TINY, "training": training},
    )
    torch.manual_seed(0)
    chosen = objective_of(config)
    model = chosen.build(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return chosen, model


def text(size, seed=0):
    return np.random.default_rng(seed).integers(97, 105, size, dtype=np.uint8)


@torch.no_grad()
def test_causal_bits_are_those_of_each_byte_after_its_context():
    objective, model = setup("causal")
    data = text(75)
    ids = torch.from_numpy(data.astype(np.int64)) + 6
    bits = 8.0  # the first byte, unknown
    for first in range(1, 75, 8):  # eight bytes at a time, by eight latents
        end = min(75, first + 8)
        context = ids[max(0, end - 33) : end]
        logits = model(context[None, :-1])[0].log_softmax(-1)
        new = end - first
        bits -= float(logits[-new:].gather(-1, context[-new:, None]).sum()) / math.log(2)
    for batch_size in (1, 4):
        assert bits_per_byte(model, objective, data, batch_size=batch_size) == pytest.approx(bits / 75, rel=1e-5)


@torch.no_grad()
def test_masked_bits_are_those_of_hidden_bytes():
    objective, model = setup("masked", mask_fraction=0.25)
    data = text(75)
    total = 0.0
    windows = objective.windows(data)
    for i in range(len(windows)):
        ids, hidden = windows[i]
        length = int((ids != 0).sum())
        logits = model(ids.masked_fill(hidden, MASK)[None, :length])[0].log_softmax(-1)
        total -= float(logits.gather(-1, ids[:length, None])[hidden[:length]].sum()) / math.log(2)
    assert bits_per_byte(model, objective, data) == pytest.approx(total / 75, rel=1e-5)


def test_the_masked_loss_is_that_of_the_hidden_share():
    objective, model = setup("masked", mask_fraction=0.3)
    ids = torch.from_numpy(text(32 * 200)).long().view(200, 32) + 6
    seen = []
    model.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    loss = objective.loss(model, ids)
    hidden = seen[0] == MASK
    assert (hidden.sum(1) == 10).all()
    assert torch.equal(seen[0][~hidden], ids[~hidden])
    logits = model(seen[0])
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits[hidden], ids[hidden]))


def test_short_contexts_keep_all_latents_and_the_end():
    objective, model = setup("causal", short_contexts=1.0)
    ids = torch.from_numpy(text(33 * 4)).long().view(4, 33) + 6
    lengths = set()

    def remember(module, arguments):
        assert torch.equal(arguments[0], ids[:, -arguments[0].shape[1] - 1 : -1])
        lengths.add(arguments[0].shape[1])

    model.register_forward_pre_hook(remember)
    for _ in range(100):
        objective.loss(model, ids)
    assert min(lengths) == 8
    assert max(lengths) == 32
    assert len(lengths) > 15


@pytest.mark.parametrize("objective", ["causal", "masked"])
@pytest.mark.parametrize("preset", ["tiny", "small", "base"])
def test_presets_build(preset, objective):
    config = language_preset(preset, objective)
    with torch.device("meta"):
        model = objective_of(config).build(config)
    assert model.max_length == config.data.context


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_the_share_of_short_contexts_is_the_one_asked_for(share):
    objective, model = setup("causal", short_contexts=share)
    short = []
    model.register_forward_pre_hook(lambda module, arguments: short.append(arguments[0].shape[1] < 32))
    ids = torch.from_numpy(text(33)).long()[None] + 6
    torch.manual_seed(0)
    with torch.no_grad():
        for _ in range(200):
            objective.loss(model, ids)
    assert sum(short) / 200 == pytest.approx(share, abs=0.07 if share else 0.0)


def test_an_objective_says_what_a_window_has():
    causal, _ = setup("causal")
    assert isinstance(causal, CausalObjective)
    assert (causal.name, causal.first_bits, causal.length, causal.predicted) == ("causal", 8.0, 33, 8)
    masked, _ = setup("masked", mask_fraction=0.3)
    assert isinstance(masked, MaskedObjective)
    assert (masked.name, masked.first_bits, masked.length, masked.predicted) == ("masked", 0.0, 32, 10)
    assert setup("masked", mask_fraction=0.001)[0].predicted == 1


def test_a_model_has_the_sizes_of_its_configuration():
    sizes = {"num_latents": 8, "latent_dim": 24, "embedding_dim": 12, "depth": 3, "heads": 2, "cross_heads": 3,
             "num_cross_attends": 2, "widening_factor": 5, "activation": "geglu", "prefix_dropout": 0.25,
             "attn_dropout": 0.125, "ff_dropout": 0.5, "rotary_fraction": 0.75, "tie_embeddings": False}  # fmt: skip
    models = {}
    for objective in ("causal", "masked"):
        given = {"objective": objective, "data": {"context": 32}, "model": sizes}
        config = read_settings(LanguageConfig, given)
        models[objective] = objective_of(config).build(config).recorded_config
    causal = {"max_length": 32, "dim_head": 12, "cross_dim_head": 8} | sizes
    del causal["embedding_dim"]
    assert models["causal"].items() >= causal.items()
    masked = {name: sizes[name] for name in ("embedding_dim", "num_latents", "latent_dim", "depth", "heads")}
    masked |= {"max_length": 32, "cross_heads": 3, "decoder_heads": 3, "qk_dim": 24, "v_dim": 24, "dropout": 0.5}
    assert models["masked"].items() >= (masked | {"widening_factor": 5, "activation": "geglu"}).items()


def test_progress_is_told_and_outputs_that_are_not_finite_have_no_bits():
    objective, model = setup("causal")
    told = []
    bits_per_byte(model, objective, text(75), batch_size=4, progress=lambda *done: told.append(done))
    assert told == [(1, 3), (2, 3), (3, 3)]
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    with pytest.raises(ValueError, match=r"are not finite, so it has no bits per byte \(got nan\)"):
        bits_per_byte(model, objective, text(75))
