"""What the models do beyond release 1.4.0."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import perceiver_pytorch as P
from perceiver_pytorch.nn import fourier_encode
from perceiver_pytorch.ops import use_backend
from small_models import CLASSES, VOCABULARY, audio, build, image, inputs, options, pictures, sounds, text, words


def token_array(model: nn.Module, name: str, data: Tensor, code: Tensor) -> Tensor:
    """The classical tokens of one modality, from its parts: data, padding, positions, code."""
    modality = model.modalities[name]
    batch, *axes, channels = data.shape
    grid = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, n) for n in axes], indexing="ij"), dim=-1)
    positions = fourier_encode(grid, modality.max_freq, modality.num_freq_bands, modality.freq_base).flatten(-2)
    positions, code = positions.expand(batch, *axes, -1), code.expand(batch, *axes, -1)
    padding = data.new_zeros(batch, *axes, model.max_modality_dim - channels - positions.shape[-1] - code.shape[-1])
    return torch.cat((data, padding, positions, code), dim=-1).flatten(1, -2)


def by_hand(model: nn.Module, dense_per_layer: list[Tensor]) -> Tensor:
    x = model.latents.expand(dense_per_layer[0].shape[0], -1, -1)
    for dense, (cross, feed_forward, transformer) in zip(dense_per_layer, model.layers, strict=True):
        x = cross(x, context=dense) + x
        x = feed_forward(x) + x
        x = transformer(x) + x
    return model.to_logits(model.pool(x))


@pytest.mark.parametrize(
    "given", [["audio"], ["image"], ["video"], ["audio", "video"], ["image", "video"]], ids="+".join
)
def test_some_of_the_modalities_keep_their_codes_and_padding(given: list[str]) -> None:
    """Release 1.4.0 numbered the modalities of the batch anew; what a token means may not depend on the others."""
    video = P.InputModality("video", 3, 3, 2, 4.0)
    model = P.MultiModalityPerceiver(modalities=[video, image(), audio()], depth=2, num_latents=4, latent_dim=8)
    data = {"audio": sounds(), "image": pictures(), "video": torch.rand(2, 2, 3, 3, 3)}
    codes = dict(zip(("audio", "image", "video"), torch.eye(3), strict=True))
    dense = torch.cat([token_array(model, name, data[name], codes[name]) for name in given], dim=1)
    expected = by_hand(model, [dense] * 2)
    torch.testing.assert_close(model({name: data[name] for name in given}), expected)


def test_order_of_declaration_and_of_the_batch_do_not_matter() -> None:
    batch = inputs("MultiModalityPerceiver")
    model = build("MultiModalityPerceiver", modalities=[image(), audio()])
    turned = build("MultiModalityPerceiver", modalities=[audio(), image()])
    expected = model(batch)
    assert torch.equal(turned(batch), expected)
    assert torch.equal(model(dict(reversed(batch.items()))), expected)


def test_a_learned_code_stands_in_the_place_of_the_one_hot_code() -> None:
    model = build("MultiModalityPerceiver", modality_code_dim=5)
    assert model.modality_codes.shape == (2, 5)
    assert model.max_modality_dim == build("MultiModalityPerceiver").max_modality_dim - 2 + 5
    batch = inputs("MultiModalityPerceiver")
    parts = [token_array(model, name, batch[name], model.modality_codes[i]) for i, name in enumerate(sorted(batch))]
    torch.testing.assert_close(model(batch), by_hand(model, [torch.cat(parts, dim=1)] * 2))
    model(batch).square().sum().backward()
    assert (model.modality_codes.grad != 0).all()
    model.zero_grad()
    model({"image": batch["image"]}).square().sum().backward()
    assert (model.modality_codes.grad[0] == 0).all()
    assert (model.modality_codes.grad[1] != 0).any()


@pytest.mark.parametrize("name", CLASSES[1:])
def test_every_multi_modality_model_takes_learned_codes(name: str) -> None:
    model = build(name, modality_code_dim=3)
    assert "modality_codes" in model.state_dict()
    assert torch.isfinite(model(inputs(name))).all()


def test_a_layer_reads_its_part_of_the_embedding_or_all_of_it() -> None:
    ids = words()
    for split in (True, False):
        model = build("MultiModalityWithTextPerceiver", modalities=[text(12, split_embedding=split), image()])
        embedded, pixels, codes = model.embeddings["text"](ids), pictures(), torch.eye(2)
        dense = []
        for part in embedded.chunk(2, dim=-1) if split else [embedded, embedded]:
            tokens = token_array(model, "image", pixels, codes[0]), token_array(model, "text", part, codes[1])
            dense.append(torch.cat(tokens, dim=1))
        torch.testing.assert_close(model({"text": ids, "image": pixels}), by_hand(model, dense))
    assert model.max_modality_dim == 12 + 5 + 2


def test_ids_come_with_or_without_a_channel() -> None:
    model, batch = build("MultiModalityWithTextPerceiver"), inputs("MultiModalityWithTextPerceiver")
    expected = model(batch)
    for ids in (batch["text"].unsqueeze(-1), batch["text"].to(torch.uint8), batch["text"].int()):
        assert torch.equal(model(batch | {"text": ids}), expected)


def test_gradients_reach_the_embedding() -> None:
    model, ids = build("MultiModalityWithTextPerceiver"), torch.tensor([[3, 4, 3], [5, 3, 3]])
    model({"text": ids}).square().sum().backward()
    rows = model.embeddings["text"].weight.grad.abs().sum(-1)
    assert rows.nonzero().flatten().tolist() == [3, 4, 5]


def test_an_embedding_without_a_use_is_not_registered() -> None:
    """`MultiModalityPerceiver` reads raw channels, as in release 1.4.0, whatever its modalities carry."""
    given = P.InputModalityWithEmbedding("text", 1, 1, 2, 4.0, embedding=nn.Embedding(19, 12))
    model = build("MultiModalityPerceiver", modalities=[given])
    assert not any("embedding" in key for key in model.state_dict())
    assert (
        torch.equal(model({"text": words().unsqueeze(-1)}), model({"text": words.__wrapped__().unsqueeze(-1)}))
        if (hasattr(words, "__wrapped__"))
        else model({"text": words().unsqueeze(-1).float()}).shape == (2, 5)
    )


@pytest.mark.parametrize("name", ["type", "values", "items", "train", "forward", "keys", "0"])
def test_a_text_may_have_any_name_a_column_has(name: str) -> None:
    """Some are attributes of `nn.ModuleDict`, which would not take them as keys."""
    modality = P.InputModalityWithEmbedding(name, 1, 1, 2, 4.0, embedding=nn.Embedding(19, 12))
    model = build("MultiModalityWithTextPerceiver", modalities=[modality, image()])
    assert f"embeddings.{name}.weight" in model.state_dict()
    other = build("MultiModalityWithTextPerceiver", modalities=[modality, image()])
    other.load_state_dict(model.state_dict(), strict=True)
    output = model({name: words()})
    assert output.shape == (2, 5)
    output.sum().backward()
    assert model.embeddings[name].weight.grad is not None


@pytest.mark.parametrize("name", CLASSES)
def test_without_classes_the_latents_are_returned(name: str) -> None:
    changes = {} if name.endswith("NoPooling") else {"num_classes": None}
    output = build(name, **changes)(inputs(name))
    assert output.shape == ((2, 3, 12) if name.startswith("Hierarchical") else (2, 4, 8))


@pytest.mark.parametrize("name", CLASSES)
def test_every_backend_gives_the_same_answer(name: str) -> None:
    # As many channels as loops are compiled for elsewhere: along one axis, 1 or 3 (for each layer) and 3 features.
    series = P.InputModality("audio", 1, 1, 1, 8.0)
    if "WithText" in name:
        series = P.InputModalityWithEmbedding("text", 1, 1, 1, 4.0, embedding=nn.Embedding(VOCABULARY, 6))
    changes = {} if name == "Perceiver" else {"modalities": [image(), series]}
    model, batch = build(name, **changes), inputs(name)
    with use_backend("reference"):
        expected = model.double()(batch)
    with use_backend("chunked"):
        torch.testing.assert_close(model(batch), expected, rtol=1e-11, atol=1e-11)
    with use_backend("compiled"):
        torch.testing.assert_close(model.float()(batch).double(), expected, rtol=1e-5, atol=1e-6)


def test_modalities_may_come_from_a_generator_or_as_mappings() -> None:
    batch = inputs("MultiModalityPerceiver")
    expected = build("MultiModalityPerceiver")(batch)
    generated = build("MultiModalityPerceiver", modalities=(make() for make in (image, audio)))
    assert torch.equal(generated(batch), expected)
    mapped = build("MultiModalityPerceiver", modalities=[image().to_config(), audio().to_config()])
    assert torch.equal(mapped(batch), expected)


def test_pixels_may_stay_bytes() -> None:
    raw = torch.randint(256, (2, 5, 4, 3), dtype=torch.uint8)
    plain, scaled = build("Perceiver"), build("MultiModalityPerceiver", modalities=[image(scale=2 / 255, offset=-1)])
    torch.testing.assert_close(plain(raw), plain(raw.float()))
    floats = build("MultiModalityPerceiver", modalities=[image()])
    torch.testing.assert_close(scaled({"image": raw}), floats({"image": raw.float() * 2 / 255 - 1}))
    per_channel = build("MultiModalityPerceiver", modalities=[image(scale=[0.5, 1, 2], offset=(0, -1.0, 3))])
    expected = floats({"image": raw.float() * torch.tensor([0.5, 1, 2]) + torch.tensor([0, -1.0, 3])})
    torch.testing.assert_close(per_channel({"image": raw}), expected)


@pytest.mark.parametrize("name", CLASSES)
def test_dropout_acts_in_training_alone(name: str) -> None:
    model, batch = build(name, attn_dropout=0.3, ff_dropout=0.3), inputs(name)
    assert sum(isinstance(m, nn.Dropout) and m.p == 0.3 for m in model.modules()) > 4
    first = model(batch)
    assert not torch.equal(first, model(batch))
    first.sum().backward()
    model.eval()
    assert torch.equal(model(batch), model(batch))


@pytest.mark.parametrize("name", CLASSES)
def test_every_parameter_is_trained(name: str) -> None:
    model = build(name)
    model(inputs(name)).square().sum().backward()
    untouched = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert untouched == []


@pytest.mark.parametrize("name", CLASSES)
def test_samples_do_not_see_each_other(name: str) -> None:
    model, batch = build(name).double(), inputs(name, 3)
    whole = model(batch)
    for sample in range(3):
        one = (
            {k: v[sample : sample + 1] for k, v in batch.items()} if isinstance(batch, Mapping) else batch[sample][None]
        )
        torch.testing.assert_close(model(one)[0], whole[sample], rtol=1e-12, atol=1e-12)


def test_axes_may_have_any_length_each_time() -> None:
    model = build("MultiModalityPerceiver")
    for height, width, length in ((1, 1, 1), (2, 9, 3), (30, 2, 100)):
        output = model({"image": torch.rand(2, height, width, 3), "audio": torch.randn(2, length, 1)})
        assert torch.isfinite(output).all()


def test_inputs_of_any_dtype_and_layout_are_read() -> None:
    model, batch = build("MultiModalityPerceiver"), inputs("MultiModalityPerceiver")
    expected = model(batch)
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        torch.testing.assert_close(model(batch | {"image": batch["image"].to(dtype)}), expected, rtol=0.05, atol=0.05)
    channels_first = batch["image"].permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    torch.testing.assert_close(model(batch | {"image": channels_first}), expected)


class Custom(P.MultiModalityPerceiver):
    """Pools as the one method that is meant to be overridden says."""

    def pool(self, x: Tensor) -> Tensor:
        return x[:, 0]


def test_pool_decides_what_the_head_sees() -> None:
    arguments: dict[str, Any] = options("MultiModalityPerceiver")
    torch.manual_seed(0)
    custom = Custom(**arguments)
    hidden = build("MultiModalityPerceiver", num_classes=None)
    hidden.load_state_dict({k: v for k, v in custom.state_dict().items() if not k.startswith("to_logits")})
    batch = inputs("MultiModalityPerceiver")
    assert torch.equal(custom(batch), custom.to_logits(hidden(batch)[:, 0]))


def test_channels_that_no_layer_sees_are_warned_about_once() -> None:
    with pytest.warns(UserWarning, match="12 embedding channels over 5 layers are 2 each; the last 2 are seen by") as w:
        model = build("MultiModalityWithTextPerceiver", modalities=[text(12), image()], depth=5)
    assert len(w) == 1
    model(inputs("MultiModalityWithTextPerceiver"))  # warnings are errors: the forward gives none
    build("MultiModalityWithTextPerceiver", modalities=[text(12, split_embedding=False)], depth=5)
    build("MultiModalityWithTextPerceiver", modalities=[text(10)], depth=5)


@pytest.mark.parametrize("name", ["Perceiver", "MultiModalityPerceiver", "HierarchicalMultiModalityPerceiver"])
def test_recomputed_layers_give_the_same_gradients_and_keep_less(name: str) -> None:
    model, batch = build(name, attn_dropout=0.2), inputs(name)
    found = []
    for recompute in (False, True):
        model.recompute = recompute
        kept: list[int] = []

        def pack(tensor: torch.Tensor, kept: list[int] = kept) -> torch.Tensor:
            kept.append(tensor.numel())
            return tensor

        torch.manual_seed(0)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            output = model(batch)
        gradients = torch.autograd.grad(output.square().sum(), list(model.parameters()), allow_unused=True)
        found.append((output, gradients, sum(kept)))
    (output, gradients, kept_all), (recomputed, same_gradients, kept_few) = found
    assert torch.equal(output, recomputed)
    assert all(a is b is None or torch.equal(a, b) for a, b in zip(gradients, same_gradients, strict=True))
    assert kept_few < kept_all / 2
