"""Each choice of a `Style` has its effect, alone; the paper's preset makes the paper's choices."""

import dataclasses

import pytest
import torch
from torch import nn

from perceiver_pytorch import Style
from perceiver_pytorch.nn import GEGLU, FeedForward, FeedForwardGELU
from small_models import CLASSES, build, inputs

pytestmark = pytest.mark.usefixtures("user_view")


def test_the_default_is_the_release() -> None:
    assert Style() == Style.of() == Style.of("release")
    assert build("MultiModalityPerceiver").style == Style.of("release")


def test_the_paper_makes_every_choice_otherwise() -> None:
    release, paper = dataclasses.asdict(Style.of("release")), dataclasses.asdict(Style.of("paper"))
    assert all(release[name] != paper[name] for name in release)


def test_a_style_is_given_by_name_value_or_fields() -> None:
    paper = Style.of("paper")
    assert Style.of(paper) is not None
    assert Style.of(dataclasses.asdict(paper)) == paper
    assert Style.of("paper", freq_scale="log") == dataclasses.replace(paper, freq_scale="log")
    for given in ("paper", paper, dataclasses.asdict(paper)):
        assert build("Perceiver", style=given).style == paper


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"double_residual": 1}, TypeError, "double_residual must be True or False, got 1"),
        ({"weight_sharing": "all"}, ValueError, "weight_sharing must be one of 'release', 'paper'; got 'all'"),
        ({"freq_scale": "lin"}, ValueError, "freq_scale must be one of 'log', 'linear'; got 'lin'"),
        ({"latent_init": "zeros"}, ValueError, "latent_init must be one of 'normal', 'truncated_normal'"),
        ({"linear_init": "he"}, ValueError, "linear_init must be one of 'uniform', 'variance_scaling'; got 'he'"),
        ({"activation": "relu"}, ValueError, "activation must be one of None, 'geglu', 'gelu'; got 'relu'"),
        ({"widening_factor": 0}, ValueError, "widening_factor must be at least 1, got 0"),
    ],
)
def test_unknown_choices_are_refused(fields: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Style(**fields)
    with pytest.raises(error, match=message):
        build("MultiModalityPerceiver", style=fields)


def test_unknown_fields_and_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"style has no 'residual'; it has double_residual, .*did you mean"):
        Style.of({"residual": True})
    with pytest.raises(ValueError, match="style must be one of 'release', 'paper'; got 'papre'"):
        Style.of("papre")
    with pytest.raises(ValueError, match="style must be one of"):
        Style.of(None)
    with pytest.raises(TypeError):
        Style.of("paper", residual=True)


@pytest.mark.parametrize("name", [name for name in CLASSES if name != "Perceiver"])
def test_the_second_residual_adds_the_transformers_input_once_more(name: str) -> None:
    double, single = build(name), build(name, style=Style(double_residual=False))
    single.load_state_dict(double.state_dict())
    batch = inputs(name)
    assert not torch.equal(double(batch), single(batch))
    for model, extra in ((double, 1), (single, 0)):
        layer, x = model.layers[0], torch.randn(2, 3, model.layers[0].feed_forward.norm.weight.shape[0])
        contexts = model._contexts(batch, None, None)[0]
        y = layer.cross_attend(x, context=contexts) + x
        y = layer.feed_forward(y) + y
        assert torch.equal(layer(x, contexts), layer.latent_transformer(y) + extra * y)


def test_perceiver_never_had_the_second_residual() -> None:
    batch = inputs("Perceiver")
    assert torch.equal(build("Perceiver")(batch), build("Perceiver", style=Style(double_residual=False))(batch))


def owners(model: nn.Module) -> list[list[int]]:
    """Per layer, which layer first had its cross-attend and each of its latent blocks."""
    first: dict[int, int] = {}
    parts = [[layer.cross_attend, *layer.latent_transformer.latent_blocks] for layer in model.layers]
    for i, layer in enumerate(parts):
        for part in layer:
            first.setdefault(id(next(part.parameters())), i)
    return [[first[id(next(part.parameters()))] for part in layer] for layer in parts]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("release", [[0, 0, 0, 0], [1, 1, 0, 0], [1, 2, 0, 0]]),
        ("paper", [[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]),
    ],
)
@pytest.mark.parametrize("name", ["MultiModalityPerceiver", "MultiModalityWithTextPerceiver"])
def test_what_is_tied_is_the_rules(name: str, rule: str, expected: list[list[int]]) -> None:
    tied = build(name, depth=3, num_latent_blocks_per_layer=3, weight_tie_layers=True, style=Style(weight_sharing=rule))
    assert owners(tied) == expected
    untied = build(name, depth=3, num_latent_blocks_per_layer=3, style=Style(weight_sharing=rule))
    assert owners(untied) == [[i] * 4 for i in range(3)]


def test_the_paper_ties_the_first_latent_block_of_perceiver_too() -> None:
    for rule, latent_owner in (("release", 1), ("paper", 0)):
        layers = build("Perceiver", depth=3, weight_tie_layers=True, style=Style(weight_sharing=rule)).layers
        assert layers[2][0] is layers[1][0]
        assert layers[1][0] is not layers[0][0]
        assert layers[1][2] is layers[2][2] is layers[latent_owner][2]
        assert (layers[0][2] is layers[1][2]) == (rule == "paper")


@pytest.mark.parametrize("name", CLASSES)
def test_feed_forward_parts_are_as_wide_inside_as_asked(name: str) -> None:
    def widths(**changes: object) -> set[float]:
        nets = [
            module for module in build(name, **changes).modules() if isinstance(module, FeedForward | FeedForwardGELU)
        ]
        return {net.net[-1].in_features / net.net[-1].out_features for net in nets}

    assert widths() == widths(style="release") == {4}
    assert widths(style="paper") == {1}
    assert widths(style="paper", widening_factor=4) == widths(style=Style.of("paper", widening_factor=4)) == {4}
    assert widths(widening_factor=2) == {2}
    assert build(name, style="paper", widening_factor=3).style == Style.of("paper", widening_factor=3)


def test_a_style_saved_before_it_had_a_width_keeps_its_own() -> None:
    saved = dataclasses.asdict(Style.of("paper"))
    del saved["widening_factor"]
    assert Style.of(saved) == Style.of("paper", widening_factor=4)


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_bands_are_spaced_as_asked(scale: str) -> None:
    model = build("MultiModalityPerceiver", style=Style(freq_scale=scale))
    contexts = model._contexts(inputs("MultiModalityPerceiver"), None, None)[0]
    image, (height, _) = model.modalities["image"], contexts[1].tables
    x = torch.linspace(-1, 1, 5)
    bands = torch.linspace(1, 3, 3) if scale == "linear" else torch.logspace(1, torch.tensor(3.0).log2(), 3, base=2)
    torch.testing.assert_close(height[:, :3], torch.sin(x[:, None] * bands * torch.pi))
    assert image.max_freq == 6.0


@pytest.mark.parametrize("name", CLASSES)
def test_latents_start_as_asked(name: str) -> None:
    sizes = {} if name.startswith("Hierarchical") else {"num_latents": 100, "latent_dim": 40}
    for init, deviation in (("normal", 1.0), ("truncated_normal", 0.02)):
        model = build(name, style=Style(latent_init=init), **sizes)
        latents = [model.latents] if sizes else list(model.latents)
        assert torch.cat([x.flatten() for x in latents]).std().item() == pytest.approx(deviation, rel=0.3)


@pytest.mark.parametrize("name", CLASSES)
def test_linear_layers_start_as_asked(name: str) -> None:
    for init, variance in (("uniform", 1 / 3), ("variance_scaling", 1.0)):
        model = build(name, latent_dim_head=32, style=Style(linear_init=init))
        layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
        scaled = torch.cat([layer.weight.flatten() * layer.in_features**0.5 for layer in layers])
        assert scaled.var().item() == pytest.approx(variance, rel=0.1)
        assert all((layer.bias == 0).all() for layer in layers if layer.bias is not None) == (init != "uniform")


@pytest.mark.parametrize("name", CLASSES)
def test_the_activation_is_the_styles_else_the_models(name: str) -> None:
    def gated(**changes: object) -> bool:
        kinds = {type(module) for module in build(name, **changes).modules()} & {GEGLU, nn.GELU}
        assert len(kinds) == 1
        return kinds == {GEGLU}

    assert gated(style=Style(activation="geglu"))
    assert not gated(style=Style(activation="gelu"))
    assert gated() == (not name.endswith("NoPooling"))
    if name != "Perceiver":
        assert gated(use_gelu=False)
        assert not gated(use_gelu=True)
        assert gated(use_gelu=True, style=Style(activation="geglu"))


@pytest.mark.parametrize("name", CLASSES)
def test_the_papers_style_runs_in_every_model(name: str) -> None:
    model = build(name, style="paper")
    model(inputs(name)).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
