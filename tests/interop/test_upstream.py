"""Checkpoints of release 1.4.0 and perceiver-pytorch 0.11.0, made by these packages themselves."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from interop.lucidrains import lucidrains
from perceiver_pytorch import InputModality, InputModalityWithEmbedding
from perceiver_pytorch.interop import load, upstream
from release import quiet, release_names, running_release

SMALL: dict[str, Any] = {
    "num_latents": 4,
    "latent_dim": 12,
    "cross_dim_head": 8,
    "latent_heads": 2,
    "latent_dim_head": 6,
}
SINGLE = {**SMALL, "num_freq_bands": 3, "max_freq": 9.0, "num_classes": 5}
IO = {**SMALL, "depth": 2, "dim": 10, "queries_dim": 14}
IMAGE, AUDIO = (3, 2, 4, 7.0), (1, 1, 5, 8.0)


def saved(model: nn.Module, path: Path, name: str | None = None) -> Path:
    """Its state dict as a file, after a change of every weight, so that none is a default."""
    torch.manual_seed(7)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    model.eval()
    torch.save({name: model.state_dict(), "epoch": 3} if name else model.state_dict(), path)
    return path


def assert_same(ours: nn.Module, theirs: nn.Module, *inputs: Any, **options: Any) -> None:
    with torch.no_grad(), quiet():
        expected = theirs(*inputs, **options)
        torch.testing.assert_close(ours(*inputs, **options), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"depth": 2},
        {"depth": 3, "weight_tie_layers": True},
        {"depth": 2, "self_per_cross_attn": 2},
        {"depth": 1, "fourier_encode_data": False},
        {"depth": 1, "input_axis": 1, "input_channels": 2},
        {"depth": 1, "final_classifier_head": False},
    ],
    ids=str,
)
def test_perceiver_of_lucidrains(options: dict[str, Any], tmp_path: Path) -> None:
    theirs = lucidrains().Perceiver(**SINGLE, **options)
    path = saved(theirs, tmp_path / "model.pt")
    told = {"depth", "weight_tie_layers", "self_per_cross_attn", "final_classifier_head"}
    given = {name: value for name, value in options.items() if name not in told}
    ours = upstream.load(path, num_freq_bands=3, max_freq=9.0, latent_heads=2, **given)
    axes = (6, 5)[: options.get("input_axis", 2)]
    data = torch.randn(2, *axes, options.get("input_channels", 3))
    assert_same(ours, theirs, data)
    assert_same(ours, theirs, data, mask=torch.rand(2, *axes) > 0.4)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"logits_dim": 3, "decoder_ff": True},
        {"weight_tie_layers": True},
        {"cross_heads": 2},
        {"inverted_cross_attn": True},
    ],
    ids=str,
)
def test_perceiver_io_of_lucidrains(options: dict[str, Any], tmp_path: Path) -> None:
    theirs = lucidrains().PerceiverIO(**IO, **options)
    path = saved(theirs, tmp_path / "model.pt", "model")
    told = {name: value for name, value in options.items() if name in ("cross_heads", "inverted_cross_attn")}
    ours = upstream.load(path, latent_heads=2, **told)
    data, mask = torch.randn(2, 9, 10), torch.rand(2, 9) > 0.3
    assert_same(ours, theirs, data)
    for queries in (torch.randn(5, 14), torch.randn(2, 5, 14)):
        assert_same(ours, theirs, data, mask=mask, queries=queries)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())


def test_perceiver_lm_of_lucidrains(tmp_path: Path) -> None:
    theirs = lucidrains().PerceiverLM(**SMALL, depth=2, dim=10, num_tokens=30, max_seq_len=16, decoder_ff=True)
    ours = upstream.load(saved(theirs, tmp_path / "model.pt"), latent_heads=2)
    ids = torch.randint(30, (2, 11))
    assert_same(ours, theirs, ids, mask=torch.rand(2, 11) > 0.3)


def test_gradients_are_those_of_lucidrains(tmp_path: Path) -> None:
    theirs = lucidrains().PerceiverIO(**IO, logits_dim=3, decoder_ff=True)
    ours = upstream.load(saved(theirs, tmp_path / "model.pt"), latent_heads=2)
    data, queries = torch.randn(2, 9, 10), torch.randn(5, 14)
    found = []
    for model in (theirs, ours):
        given = data.clone().requires_grad_()
        model(given, queries=queries).square().sum().backward()
        found.append(given.grad)
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-6)
    mapped = upstream.translate({name: p.grad for name, p in theirs.named_parameters()}, upstream.KINDS[1].rules)
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, mapped[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("blocks", [1, 2])
def test_multi_modality_perceiver_of_the_release(tied: bool, blocks: int, tmp_path: Path) -> None:
    library = release_names()
    options = {**SMALL, "depth": 3, "num_classes": 5, "num_latent_blocks_per_layer": blocks, "weight_tie_layers": tied}
    names = {"image": IMAGE, "audio": AUDIO}
    modalities = [library.InputModality(name, *arguments) for name, arguments in names.items()]
    theirs = library.MultiModalityPerceiver(modalities=modalities, **options)
    path = saved(theirs, tmp_path / "model.pt", "state_dict")
    ours = upstream.load(
        path, modalities=[InputModality(name, *arguments) for name, arguments in names.items()], latent_heads=2
    )
    assert type(ours).__name__ == "MultiModalityPerceiver"
    assert_same(ours, theirs, {"image": torch.randn(2, 6, 5, 3), "audio": torch.randn(2, 20, 1)})
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())


def test_other_models_of_the_release(tmp_path: Path) -> None:
    library, single = release_names(), {**SINGLE, "depth": 2, "latent_heads": 2}
    theirs = library.Perceiver(**single)
    ours = upstream.load(saved(theirs, tmp_path / "single.pt"), num_freq_bands=3, max_freq=9.0, latent_heads=2)
    assert_same(ours, theirs, torch.randn(2, 6, 5, 3))
    text = library.InputModalityWithEmbedding("text", 1, 1, 3, 5.0, embedding=nn.Embedding(17, 8))
    options = {**SMALL, "depth": 2, "num_classes": 5}
    theirs = library.MultiModalityWithTextPerceiver(modalities=[text], **options)
    modality = InputModalityWithEmbedding("text", 1, 1, 3, 5.0, embedding=nn.Embedding(17, 8))
    ours = upstream.load(saved(theirs, tmp_path / "text.pt"), modalities=[modality], latent_heads=2)
    assert type(ours).__name__ == "MultiModalityWithTextPerceiver"
    assert_same(ours, theirs, {"text": torch.randint(17, (2, 11, 1))})
    theirs = library.MultiModalityPerceiverNoPooling(
        modalities=[library.InputModality("image", *IMAGE)], **SMALL, depth=2
    )
    ours = upstream.load(
        saved(theirs, tmp_path / "bare.pt"), modalities=[InputModality("image", *IMAGE)], latent_heads=2
    )
    assert_same(ours, theirs, {"image": torch.randn(2, 6, 5, 3)})


@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("pooling", [False, True])
def test_hierarchical_models_of_the_release(pooling: bool, gelu: bool, tmp_path: Path) -> None:
    library = release_names()
    name = "HierarchicalMultiModalityPerceiver" + ("" if pooling else "NoPooling")
    theirs = getattr(library, name)(
        modalities=[library.InputModality("image", *IMAGE), library.InputModality("audio", *AUDIO)],
        depth=3,
        configurator=library.HierarchicalConfigurator(3, num_latents_begin=9, latent_dim_begin=6),
        num_latent_blocks_per_layer=2,
        use_gelu=gelu,
        **{name: value for name, value in SMALL.items() if "head" in name},
        **({"num_classes": 5} if pooling else {}),
    )
    modalities = [InputModality("image", *IMAGE), InputModality("audio", *AUDIO)]
    ours = upstream.load(saved(theirs, tmp_path / "model.pt"), modalities=modalities, latent_heads=2)
    assert type(ours).__name__ == name
    data = {"image": torch.randn(2, 6, 5, 3), "audio": torch.randn(2, 20, 1)}
    ours.save_pretrained(tmp_path / "ours")
    torch.testing.assert_close(load(tmp_path / "ours")(data), ours(data))
    exact = {name: array.double() for name, array in data.items()}
    with running_release(torch.float64):  # latents that no norm follows: sums of many layers
        expected = theirs.double()(exact)
    torch.testing.assert_close(ours.double()(exact), expected)


def test_the_kind_of_feed_forward_is_told_by_its_shape(tmp_path: Path) -> None:
    library = release_names()
    theirs = library.MultiModalityPerceiver(
        modalities=[library.InputModality("image", *IMAGE)], **SMALL, depth=2, num_classes=5, use_gelu=True
    )
    path = saved(theirs, tmp_path / "model.pt")
    ours = upstream.load(path, modalities=[InputModality("image", *IMAGE)], latent_heads=2)
    assert_same(ours, theirs, {"image": torch.randn(2, 6, 5, 3)})


def test_options_of_lucidrains_that_are_not_here_are_refused(tmp_path: Path) -> None:
    single, io = {**SINGLE, "depth": 2}, lucidrains().PerceiverIO(**IO, attn_residual=True)
    for residual in (io, lucidrains().Perceiver(**single, attn_residual=True)):
        with pytest.raises(ValueError, match=r"attention residuals \(attn_residual=True"):
            upstream.load(saved(residual, tmp_path / "residual.pt"), latent_heads=2, num_freq_bands=3, max_freq=9.0)
    path = saved(lucidrains().Perceiver(**single, inverted_cross_attn=True), tmp_path / "inverted.pt")
    with pytest.raises(TypeError, match=r"takes no inverted_cross_attn; it takes num_freq_bands"):
        upstream.load(path, latent_heads=2, num_freq_bands=3, max_freq=9.0, inverted_cross_attn=True)


@pytest.mark.parametrize("missing", ["latents", "layers.0.1.fn.net.0.weight", "layers.1.1.fn.net.0.weight"])
def test_a_missing_weight_is_named(missing: str, tmp_path: Path) -> None:
    weights = release_names().Perceiver(**SINGLE, depth=2).state_dict()
    del weights[missing]
    with pytest.raises(ValueError, match=missing.replace(".", r"\.")):
        upstream.from_state_dict(weights, num_freq_bands=3, max_freq=9.0, latent_heads=2)


def test_wrappers_names_are_taken_off(tmp_path: Path) -> None:
    theirs = lucidrains().Perceiver(**SINGLE, depth=1).eval()
    weights = {f"module.{name}": value for name, value in theirs.state_dict().items()}
    torch.save({"model_state_dict": weights}, tmp_path / "model.pt")
    ours = upstream.load(tmp_path / "model.pt", num_freq_bands=3, max_freq=9.0, latent_heads=2)
    assert_same(ours, theirs, torch.randn(2, 6, 5, 3))


def test_what_is_no_checkpoint_says_so(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with pytest.raises(FileNotFoundError, match="is no file"):
        upstream.load(path)
    for content, message in (
        ({"a": torch.zeros(1)}, "neither of release 1.4.0 nor of perceiver-pytorch"),
        ({"a": 3}, "must hold a state dict"),
        ([torch.zeros(1)], "must hold a state dict"),
        (nn.Linear(1, 1), "cannot be read as weights"),
    ):
        torch.save(content, path)
        with pytest.raises(ValueError, match=message):
            upstream.load(path)


def test_missing_and_wrong_arguments_are_named(tmp_path: Path) -> None:
    path = saved(lucidrains().Perceiver(**SINGLE, depth=1), tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"model\.pt: shapes do not tell num_freq_bands, max_freq"):
        upstream.load(path, latent_heads=2)
    with pytest.raises(ValueError, match="12 channels, not 8 heads; pass latent_heads"):
        upstream.load(path, num_freq_bands=3, max_freq=9.0)
    with pytest.raises(ValueError, match=r"weights do not fit the arguments: layers\.0\.0\.fn\.to_kv"):
        upstream.load(path, num_freq_bands=4, max_freq=9.0, latent_heads=2)
    many = saved(lucidrains().Perceiver(**SINGLE, depth=3), tmp_path / "many.pt")
    with pytest.raises(ValueError, match="these layers are not tied"):
        upstream.load(many, num_freq_bands=3, max_freq=9.0, latent_heads=2, weight_tie_layers=True)
