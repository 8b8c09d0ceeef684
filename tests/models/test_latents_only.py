"""Models that return their latents: their arguments are those of the pooled ones."""

import copy
import inspect
import pickle
import typing
from pathlib import Path
from typing import Any

import pytest
import torch

import perceiver_pytorch as P
from perceiver_pytorch.models.latents_only import LatentsArguments
from small_models import CLASSES, build, inputs, options

FORMS = [name for name in CLASSES if name.endswith("NoPooling")]


@pytest.mark.parametrize("name", FORMS)
def test_the_signature_is_the_pooled_one_without_classes(name: str) -> None:
    ours = inspect.signature(getattr(P, name)).parameters
    theirs = inspect.signature(getattr(P, name.removesuffix("NoPooling"))).parameters
    ignored = {"num_latents", "latent_dim"} if name.startswith("Hierarchical") else set()
    assert [p for p in ours if p not in ignored] == [p for p in theirs if p != "num_classes"]
    for key, parameter in theirs.items():
        if key in ours and key != "use_gelu":
            assert ours[key] == parameter
    assert ours["use_gelu"].default is True


@pytest.mark.parametrize("name", FORMS[:2])
def test_editors_see_the_same_arguments(name: str) -> None:
    parameters = inspect.signature(getattr(P, name)).parameters
    assert set(typing.get_type_hints(LatentsArguments)) == set(parameters)
    needed = {key for key, parameter in parameters.items() if parameter.default is inspect.Parameter.empty}
    assert LatentsArguments.__required_keys__ == needed


@pytest.mark.parametrize("name", FORMS)
def test_wrong_calls_say_what_is_wrong(name: str) -> None:
    cls, arguments = getattr(P, name), options(name)
    with pytest.raises(TypeError, match="unexpected keyword argument 'num_classes'"):
        cls(**arguments, num_classes=3)
    with pytest.raises(TypeError, match=r"missing a required .*argument: 'depth'"):
        cls(**{key: value for key, value in arguments.items() if key != "depth"})
    with pytest.raises(TypeError, match="positional argument"):
        cls(arguments["modalities"])


class Mine(P.MultiModalityPerceiverNoPooling):
    """A subclass as users write one."""

    def __init__(self, *, extra: int = 1, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.extra = extra


@pytest.mark.parametrize("name", FORMS)
def test_a_model_is_copied_pickled_saved_and_loaded(name: str, tmp_path: Path) -> None:
    model, batch = build(name).eval(), inputs(name)
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path).eval()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), loaded):
        assert torch.equal(other(batch), model(batch))


def test_a_subclass_passes_arguments_on(tmp_path: Path) -> None:
    model = Mine(extra=3, **options("MultiModalityPerceiverNoPooling")).eval()
    model.save_pretrained(tmp_path)
    loaded = Mine.from_pretrained(tmp_path, extra=4).eval()
    assert (model.extra, loaded.extra) == (3, 4)
    batch = inputs("MultiModalityPerceiverNoPooling")
    assert torch.equal(loaded(batch), model(batch))
