"""Release 1.4.0 and ours give the same weights, keys, outputs and gradients, and tie the same modules."""

import inspect
import warnings

import pytest
import torch
from torch import nn

from release import our_names, release_names
from release_cases import CASES, Case, ours_and_theirs, run

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*seen by no layer", category=UserWarning)
        yield request.param


def test_a_seed_gives_the_weights_of_the_release(case: Case) -> None:
    ours, theirs = ours_and_theirs(case)
    expected = theirs.state_dict()
    assert list(ours.state_dict()) == list(expected)
    for name, value in ours.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_parameters_come_in_the_order_of_the_release(case: Case) -> None:
    """An optimizer's state goes by that order."""
    ours, theirs = ours_and_theirs(case)
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    assert [name for name, _ in ours.named_buffers()] == [name for name, _ in theirs.named_buffers()]


def test_state_dicts_load_strictly_both_ways(case: Case) -> None:
    ours, theirs = ours_and_theirs(case)
    for source, target in ((ours, theirs), (theirs, ours)):
        for parameter in source.parameters():
            nn.init.normal_(parameter)
        target.load_state_dict(source.state_dict(), strict=True)
        for name, value in source.state_dict().items():
            assert torch.equal(value, target.state_dict()[name]), name


def test_the_same_modules_are_one_object(case: Case) -> None:
    def representatives(model: nn.Module) -> dict[str, str]:
        """Every module's path, and the first path under which the same object is found; lists of modules aside.

        (Where all parts of a block are tied, our list of them is one object too.)
        """
        first: dict[int, str] = {}
        return {
            path: first.setdefault(id(module), path)
            for path, module in model.named_modules(remove_duplicate=False)
            if not isinstance(module, nn.ModuleList)
        }

    ours, theirs = ours_and_theirs(case)
    assert representatives(ours) == representatives(theirs)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_outputs_and_gradients_agree(case: Case, dtype: torch.dtype) -> None:
    ours, theirs = ours_and_theirs(case)
    got, expected = run(ours, case, dtype), run(theirs, case, dtype, of_release=True)
    assert got.output.dtype == dtype
    assert got.output.shape == expected.output.shape
    scale = expected.output.abs().max()
    assert (got.output - expected.output).abs().max() < TOLERANCE[dtype] * scale

    assert got.gradients.keys() == expected.gradients.keys()
    # A gradient that is zero but for rounding is compared on the scale of the others.
    floor = 1e-3 * max(value.abs().max() for value in expected.gradients.values() if value.dim() > 1)
    for name, value in expected.gradients.items():
        error = (got.gradients[name] - value).abs().max() / value.abs().max().clamp_min(floor)
        assert error < TOLERANCE[dtype], f"{name}: {error}"


CONSTRUCTORS = (
    "Perceiver",
    "MultiModalityPerceiver",
    "MultiModalityPerceiverNoPooling",
    "MultiModalityWithTextPerceiver",
    "HierarchicalMultiModalityPerceiver",
    "HierarchicalMultiModalityPerceiverNoPooling",
    "HierarchicalConfigurator",
    "InputModality",
    "InputModalityWithEmbedding",
    "PreNorm",
    "Attention",
    "FeedForward",
    "FeedForwardGELU",
    "LatentTransformer",
    "build_perceiver_layers",
    "fourier_encode",
    "modality_encoding",
    "cache_fn",
)


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_arguments_of_the_release_have_their_names_defaults_and_kinds(name: str) -> None:
    ours = inspect.signature(getattr(our_names(), name)).parameters
    theirs = inspect.signature(getattr(release_names(), name)).parameters
    for argument, expected in theirs.items():
        assert argument in ours
        assert ours[argument].default == expected.default, argument
        assert ours[argument].kind == expected.kind, argument
    positional = [p.name for p in theirs.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [p.name for p in ours.values() if p.kind is p.POSITIONAL_OR_KEYWORD][: len(positional)] == positional


@pytest.mark.parametrize("name", CONSTRUCTORS[:6])
def test_forward_takes_the_arguments_of_the_release(name: str) -> None:
    theirs = inspect.signature(getattr(release_names(), name).forward).parameters
    ours = inspect.signature(getattr(our_names(), name).forward).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    assert all(ours[argument].default == expected.default for argument, expected in theirs.items())


def test_attributes_that_code_for_the_release_reads_are_there() -> None:
    ours, theirs = ours_and_theirs(CASES["multi, two"])
    assert ours.max_modality_dim == theirs.max_modality_dim
    assert list(ours.modalities) == list(theirs.modalities)
    ours, theirs = ours_and_theirs(CASES["perceiver, base 3, pixels"])
    for name in ("input_axis", "max_freq", "num_freq_bands", "freq_base"):
        assert getattr(ours, name) == getattr(theirs, name)
    ours, theirs = ours_and_theirs(CASES["text"])
    assert ours.depth == theirs.depth
    assert ours.embeddings.keys() == theirs.embeddings.keys()


@pytest.mark.parametrize("model", CONSTRUCTORS[:6])
def test_public_attributes_of_the_release_are_not_missing(model: str) -> None:
    case = next(case for case in CASES.values() if case.model == model)
    ours, theirs = ours_and_theirs(case)
    public = {name for name in vars(theirs) if not name.startswith("_")} | set(dict(theirs.named_children()))
    assert {name for name in public if not hasattr(ours, name)} == set()
