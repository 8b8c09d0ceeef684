"""Modules by any name."""

import pytest
from torch import nn

from perceiver_pytorch.nn.module_dict import NamedModules


@pytest.mark.parametrize("name", ["type", "values", "items", "train", "forward", "keys", "0"])
def test_a_module_may_have_the_name_of_a_method(name: str) -> None:
    parts, part = NamedModules(), nn.Linear(2, 3)
    parts[name] = part
    assert parts[name] is part
    assert [*parts] == [name]
    assert {*parts.state_dict()} == {f"{name}.weight", f"{name}.bias"}
    assert repr(parts) == f"ModuleDict(\n  ({name}): Linear(in_features=2, out_features=3, bias=True)\n)"
