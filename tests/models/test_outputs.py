"""Named outputs: as JSON values and back, and arguments that may be one per output."""

import json

import pytest
import torch

import perceiver_pytorch as P
from perceiver_pytorch.models.outputs import by_output, output_from_config

OUTPUTS = [
    P.Output("label", P.LearnedQueries(6), 10),
    P.Output("map", [P.FourierQueries((3, 4), 2), P.LearnedQueries(5, (3, 4))], 2),
    P.Output("pixels", P.InputQueries("image", data=False), None),
    P.Output("mine", P.GivenQueries(5), None),
]


@pytest.mark.parametrize("output", OUTPUTS, ids=[output.name for output in OUTPUTS])
def test_an_output_comes_back_from_its_configuration(output: P.Output) -> None:
    assert output_from_config(json.loads(json.dumps(output.to_config()))) == output
    assert output_from_config(output) is output


def test_an_argument_is_one_tensor_or_one_per_output() -> None:
    tensor = torch.randn(3, 5)
    assert by_output("queries", None, ["a", "b"]) == {}
    assert by_output("queries", tensor, ["a"])["a"] is tensor
    assert by_output("queries", {"b": tensor}, ["a", "b"])["b"] is tensor
    with pytest.raises(TypeError, match=r"queries must be a mapping of outputs to tensors .*, got Tensor"):
        by_output("queries", tensor, ["a", "b"])
    with pytest.raises(ValueError, match="an output of queries must be one of 'a', 'b'; got 'c'"):
        by_output("queries", {"c": tensor}, ["a", "b"])
    with pytest.raises(TypeError, match=r"queries\['a'\] must be a torch.Tensor, got list"):
        by_output("queries", {"a": [1.0]}, ["a", "b"])
