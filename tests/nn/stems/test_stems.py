"""The list of stems; the name of a module is that of its room."""

import pytest
from torch import nn

from perceiver_pytorch.nn.stems import STEMS, stem_config, stem_from_config


def test_an_unknown_stem_is_told_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="patch"):
        stem_from_config({"name": "pitch"})


def test_a_stem_is_named_as_it_is_listed() -> None:
    assert all(stem.name == name for name, stem in STEMS.items())


def test_a_module_of_the_users_own_is_told_by_its_class() -> None:
    assert stem_config(nn.Identity()) == {"class": "Identity"}
