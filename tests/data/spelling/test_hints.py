import shlex

import pytest

from perceiver_pytorch.cli.options import set_values
from perceiver_pytorch.data.spelling.hints import setting_hint


@pytest.mark.parametrize("column", ["x", "unit price", "what's $1?"])
@pytest.mark.parametrize("value", [["Total", "n.k."], [], ",", "%d/%m/%Y", "'"])
def test_what_is_typed_is_what_is_meant(column, value):
    option, pair = shlex.split(setting_hint(column, "missing", value))
    assert option == "--set"
    assert set_values([pair]) == {("data", "column_options", column, "missing"): value}


def test_a_name_with_a_point_in_it():
    _, pair = shlex.split(setting_hint("a.b", "decimal", ","))
    assert set_values([pair]) == {("data", "column_options"): {"a.b": {"decimal": ","}}}
