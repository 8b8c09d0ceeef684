"""Sizes: release 1.4.0's defaults, refused values, and no PyTorch to read them."""

import dataclasses
import inspect
import subprocess
import sys

import pytest

import perceiver_pytorch as P
from perceiver_pytorch.nn.sizes import Sizes


def test_defaults_are_those_of_the_models() -> None:
    parameters = inspect.signature(P.MultiModalityPerceiver).parameters
    for name, value in dataclasses.asdict(Sizes(depth=3)).items():
        assert name == "depth" or parameters[name].default == value


@pytest.mark.usefixtures("user_view")
@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"latent_dim": 0}, ValueError, "latent_dim must be at least 1, got 0"),
        ({"depth": True}, TypeError, "depth must be an integer of at least 1, got True"),
        ({"cross_heads": 2.0}, TypeError, "cross_heads must be an integer of at least 1, got 2.0"),
        ({"ff_dropout": 1.5}, ValueError, r"ff_dropout must lie in \[0, 1\], got 1.5"),
        ({"attn_dropout": None}, TypeError, r"attn_dropout must be a number in \[0, 1\], got None"),
        ({"weight_tie_layers": 1}, TypeError, "weight_tie_layers must be bool, got 1"),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Sizes(**{"depth": 1, **wrong})


def test_reading_them_needs_no_pytorch() -> None:
    code = "import sys, perceiver_pytorch.nn.sizes; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.usefixtures("user_view")
@pytest.mark.parametrize("field", dataclasses.fields(Sizes), ids=lambda field: field.name)
def test_every_size_may_be_one_and_every_share_from_none_to_all(field: "dataclasses.Field[object]") -> None:
    given = {bool: (True, False), float: (0.0, 1.0)}.get(field.type, (1, 2))
    for value in given:
        assert getattr(Sizes(**{"depth": 1, field.name: value}), field.name) == value
