"""An export is compared with its model on drawn inputs, and what differs is not written."""

import numpy as np
import pytest
import torch

from perceiver_pytorch.export.checking import check_agreement, of_ids
from perceiver_pytorch.runtime.signature import GraphInput

INPUTS = (
    GraphInput("in_x", "x", "data", "int64", (1, 1), (4096, 9)),
    GraphInput("in_x.mask", "x", "mask", "bool", (1, 1), (4096, 9)),
)


def graph(tensors):
    """The sum of the ids that a row has."""
    return {"out": (tensors["in_x"] * tensors["in_x.mask"]).sum(1).float()}


def computed(arrays):
    return {name: values.numpy() for name, values in graph({k: torch.from_numpy(v) for k, v in arrays.items()}).items()}


def check(engine, *, strict=True):
    return check_agreement(graph, engine, INPUTS, of_ids({"x": 7}), strict=strict)


def test_sizes_from_the_least_to_the_most_are_tried():
    seen = []

    def engine(arrays):
        seen.append(arrays)
        return computed(arrays)

    assert check(engine) == {"rows": 7, "largest_difference": 0.0, "tolerance": 1e-4}
    assert [arrays["in_x"].shape for arrays in seen] == [(4, 9), (1, 4), (2, 1)]
    assert all(arrays["in_x"].min() >= 0 and arrays["in_x"].max() < 7 for arrays in seen)
    assert not seen[0]["in_x.mask"][-1].any()


@pytest.mark.parametrize("wrong", [np.nan, 0.1])
def test_other_numbers_are_an_error_unless_they_are_to_be_measured(wrong):
    def engine(arrays):
        return {name: values + np.float32(wrong) for name, values in computed(arrays).items()}

    with pytest.raises(ValueError, match=r"differs from the model by .* nothing was written"):
        check(engine)
    found = check(engine, strict=False)["largest_difference"]
    assert found > 1e-3 or np.isnan(found)


def test_other_shapes_are_an_error():
    with pytest.raises(ValueError, match=r"out of the exported graph has the shape \(4, 1\), not \(4,\)"):
        check(lambda arrays: {name: values[:, None] for name, values in computed(arrays).items()})


def test_a_graph_that_cannot_be_run_says_on_what():
    def engine(arrays):
        raise RuntimeError("no\nsuch  node")

    with pytest.raises(ValueError, match=r"cannot be run on in_x \(4, 9\), in_x.mask \(4, 9\): no such node"):
        check(engine)
